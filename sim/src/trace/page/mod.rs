//! A run as one page of HTML that needs nothing else: the data as JSON, and the script that draws it.

mod data;

use super::Trace;
use crate::choice::deviating;
use crate::engine::Engine;
use crate::explore::Replay;
use crate::token::Token;
use crate::verdict::Verdict;
use std::fmt::Write as _;

/// So many lines has the timeline that is shown where scripts do not run.
const TEXT_LINES: usize = 400;

/// The run as one page of HTML, which loads nothing: a lane for each thread, grouped by hosts, on virtual time or step by step; locks
/// that are held and waited for, packets between lanes, the choices that were not dull, and what was found, with filters and zoom. Where
/// scripts do not run there is the timeline as text.
///
/// Of a run of more than 50,000 steps the beginning and the end are shown. A run whose steps were not recorded has an empty page.
pub fn page(token: &Token, replay: &Replay) -> String {
    let empty = Trace::default();
    let trace = replay.trace.as_ref().unwrap_or(&empty);
    let data = data::data(trace, replay).to_string();
    fill(
        include_str!("page.html"),
        &[
            ("title", escape(&format!("{} / {} on {}", token.exhibit, token.subject, token.engine))),
            ("style", include_str!("page.css").to_owned()),
            ("exhibit", escape(&token.exhibit)),
            ("subject", escape(&token.subject)),
            ("engine", escape(token.engine.name())),
            ("verdict", escape(replay.verdict.name())),
            ("detector", escape(replay.verdict.detector().map_or("", |detector| detector.name()))),
            ("facts", escape(&facts(token.engine, trace, replay))),
            ("finding", finding(&replay.verdict)),
            ("token", escape(&token.to_string())),
            ("hash", format!("{:016x}", replay.trace_hash)),
            ("timeline", escape(&trace.timeline(TEXT_LINES))),
            ("data", harmless_in_script(&data)),
            ("lanes", include_str!("lanes.js").to_owned()),
            ("drawing", include_str!("drawing.js").to_owned()),
            ("controls", include_str!("controls.js").to_owned()),
        ],
    )
}

fn facts(engine: Engine, trace: &Trace, replay: &Replay) -> String {
    let mut facts = format!("{} steps, {} threads", trace.events.len(), trace.threads.len());
    if trace.hosts.len() > 1 {
        let _ = write!(facts, ", {} hosts", trace.hosts.len());
    }
    if !trace.packets.is_empty() {
        let _ = write!(facts, ", {} packets", trace.packets.len());
    }
    if engine == Engine::Loom {
        let _ = write!(facts, ", iteration {}", replay.schedules);
    } else {
        let _ = write!(facts, ", {} choices, {} of them not 0", replay.choices.len(), deviating(&replay.choices));
    }
    facts
}

fn finding(verdict: &Verdict) -> String {
    let mut html = String::new();
    match verdict {
        Verdict::Clean => html.push_str("<p class=\"reason\">Nothing was found in this run.</p>"),
        Verdict::Caught(finding) => {
            let _ = write!(html, "<p class=\"reason\">{}</p>", escape(&finding.reason));
            if !finding.details.is_empty() {
                html.push_str("<ul class=\"details\">");
                for detail in &finding.details {
                    let _ = write!(html, "<li>{}</li>", escape(detail));
                }
                html.push_str("</ul>");
            }
        }
        Verdict::Inconclusive(why) | Verdict::Crashed(why) => {
            let _ = write!(html, "<p class=\"reason\">{}</p>", escape(why));
        }
    }
    html
}

/// Text as HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No document may have these.
            '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\x7f' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// JSON that ends no script and begins no comment, whatever its strings say. These characters stand in strings only.
fn harmless_in_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The template with its marks `{{name}}` replaced, in the order in which they stand. What is put in is not looked at again.
fn fill(template: &str, texts: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(template.len() + texts.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else { break };
        let text = texts.iter().find(|(mark, _)| *mark == name);
        debug_assert!(text.is_some(), "the template has a mark `{name}`, for which there is no text");
        out.push_str(text.map_or("", |(_, text)| text));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_in_what_is_put_in_are_text() {
        let texts = [("a", "{{b}}".to_owned()), ("b", "<{{a}}>".to_owned())];
        assert_eq!(fill("1 {{a}} 2 {{b}} 3.", &texts), "1 {{b}} 2 <{{a}}> 3.");
    }

    #[test]
    fn every_mark_of_the_template_is_filled() {
        let token = crate::token::Token {
            exhibit: "e".into(),
            subject: "s".into(),
            engine: crate::Engine::Shuttle,
            run: crate::token::RunId::Digest(1),
        };
        let replay = Replay { verdict: Verdict::Clean, trace_hash: 0, choices: Vec::new(), schedules: 1, trace: None };
        let page = page(&token, &replay);
        assert!(page.contains("<h1>e <span>s</span></h1>") && page.contains("0 steps"), "{page}");
        assert!(!page.contains("{{"), "{page}");
    }
}
