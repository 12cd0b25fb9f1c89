//! What must not compile. A case is told by the *code* of the compiler's error, not by its prose, and has a twin that differs by what is
//! wrong and must compile: else it might fail for another reason.
//!
//! The order of the endpoint's locks is generated: every level held, every level wanted, with the permit that the held lock gave and with
//! the root that it was had with. The other cases are files: `compile_fail/*/NAME.rs`, whose first line is `// expect: CODE`, and
//! `NAME.ok.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The levels in their order, each with the code that takes it with the permit PERMIT and does BODY while it is held.
const LEVELS: [(&str, &str); 4] = [
    ("dialog", "endpoint.with_call(PERMIT, call, |_, permit| { let _ = &permit; BODY }).unwrap();"),
    ("user-agent", "let (_set, mut below) = endpoint.dialogs(PERMIT); { let permit = &mut below; let _ = &permit; BODY }"),
    ("endpoint", "let (_slots, mut below) = endpoint.calls(PERMIT); { let permit = &mut below; let _ = &permit; BODY }"),
    ("application", "let mut guard = mutex.lock(PERMIT); BODY; *guard += 1;"),
];

/// A function in which the level `held` is held when `wanted` is taken with `permit`.
fn nested(held: usize, wanted: usize, permit: &str) -> String {
    let wants = LEVELS[wanted].1.replace("PERMIT", permit).replace("BODY", "");
    let body = LEVELS[held].1.replace("PERMIT", "&mut root").replace("BODY", &format!("{{ {wants} }}"));
    format!(
        "use stack::endpoint::*;\npub fn f(endpoint: &Endpoint, call: CallHandle, mutex: &ApplicationMutex<u8>) {{\n\
         let mut root = endpoint.enter().unwrap();\n{body}\n}}\n"
    )
}

#[test]
fn only_levels_further_down_are_had_while_one_is_held() {
    // An application's guard gives no permit at all, so its row is that of the root below.
    for (held, (holds, _)) in LEVELS.iter().enumerate().take(3) {
        for (wanted, (wants, _)) in LEVELS.iter().enumerate() {
            let codes = errors(&format!("{holds}-then-{wants}"), &nested(held, wanted, "permit"));
            match wanted > held {
                true => assert!(codes.is_empty(), "{wants} while {holds} is held: {codes:?}"),
                false => assert_eq!(codes, ["E0277"], "{wants} while {holds} is held"),
            }
        }
    }
}

#[test]
fn nothing_is_had_with_the_root_while_a_level_is_held() {
    for (held, (holds, _)) in LEVELS.iter().enumerate() {
        for (wanted, (wants, _)) in LEVELS.iter().enumerate() {
            let codes = errors(&format!("{holds}-then-root-{wants}"), &nested(held, wanted, "&mut root"));
            assert_eq!(codes, ["E0499"], "{wants} with the root while {holds} is held");
        }
    }
}

#[test]
fn each_level_is_had_with_the_root() {
    for (wants, code) in LEVELS {
        let body = code.replace("PERMIT", "&mut root").replace("BODY", "");
        let source = format!(
            "use stack::endpoint::*;\npub fn f(endpoint: &Endpoint, call: CallHandle, mutex: &ApplicationMutex<u8>) {{\n\
             let _ = (call, mutex); let mut root = endpoint.enter().unwrap();\n{body}\n}}\n"
        );
        assert!(errors(&format!("root-then-{wants}"), &source).is_empty(), "{wants}");
    }
}

#[test]
fn each_file_fails_as_it_says_and_its_twin_does_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let mut cases = 0;
    for subject in std::fs::read_dir(&folder).unwrap() {
        let subject = subject.unwrap().path();
        for file in std::fs::read_dir(&subject).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".rs").filter(|name| !name.ends_with(".ok")) else { continue };
            let source = std::fs::read_to_string(&file).unwrap();
            let expected = source.lines().next().and_then(|line| line.strip_prefix("// expect: "));
            let expected = expected.unwrap_or_else(|| panic!("{} does not say what it expects", file.display()));
            let label = format!("{}-{name}", subject.file_name().unwrap().to_string_lossy());
            assert_eq!(errors(&label, &source), [expected], "{label}");
            let twin = std::fs::read_to_string(subject.join(format!("{name}.ok.rs"))).unwrap();
            assert!(errors(&format!("{label}-ok"), &twin).is_empty(), "the twin of {label} does not compile");
            cases += 1;
        }
    }
    println!("{cases} files fail as they say, and their twins compile");
    assert!(cases > 0);
}

/// Compiles `source` as a crate that uses the stack, and gives the codes of its errors, each once in a row. None: it compiles.
fn errors(name: &str, source: &str) -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}.rs"));
    std::fs::write(&file, source).unwrap();
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--error-format=json", "--cap-lints=allow"])
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--extern")
        .arg(format!("stack={}", newest(&deps, "libstack-").display()))
        .arg("-o")
        .arg(folder.join(format!("{name}.rmeta")))
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut codes: Vec<String> = said.lines().filter(|line| line.contains(r#""level":"error""#)).filter_map(code).collect();
    codes.dedup();
    assert_eq!(codes.is_empty(), output.status.success(), "{name}: {said}");
    codes
}

/// The code of a diagnostic: `{"$message_type":"diagnostic",...,"code":{"code":"E0277",...}`.
fn code(line: &str) -> Option<String> {
    let at = line.find(r#""code":{"code":""#)? + r#""code":{"code":""#.len();
    Some(line[at..].chars().take_while(char::is_ascii_alphanumeric).collect())
}

/// The library that cargo built last: this test's own, as cargo builds what a test links before it runs it.
fn newest(deps: &Path, prefix: &str) -> PathBuf {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".rlib")
    };
    let files = std::fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path()).filter(is_it);
    files.max_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap()).expect("the stack was built")
}
