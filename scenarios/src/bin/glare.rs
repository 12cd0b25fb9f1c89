//! Temporary driver.
fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    for exhibit in scenarios::exhibits() {
        for subject in &exhibit.subjects {
            if ["abort","stack-overflow"].contains(&subject.name) { continue }
 if !filter.is_empty() && subject.name != filter { continue }
            for on in &subject.on { if matches!(on.expected, scenarios::Expected::NotRun(_)) {continue}
 if exhibit.name != "canary" && filter.is_empty() {continue}

                let r = on.run(&exhibit, subject);
                println!("{:32} {:8} {:9} {} schedules={} ex={} {:?} {} {:?}", subject.name, on.engine.name(), if on.expected.is_met_by(&r.verdict) {"ok"} else {"NOT OK"}, r.verdict.name(), r.schedules, r.exhaustive, r.wall, r.token.map(|t| t.to_string()).unwrap_or_default(), r.preemptions);
                if !on.expected.is_met_by(&r.verdict) { println!("   {}", r.verdict); }
            }
        }
    }
}
