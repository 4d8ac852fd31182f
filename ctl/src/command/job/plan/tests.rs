//! Plans as the real program answered and printed them: the recorded answer must give the recorded text.

use super::*;

/// The folder of transcripts, where it is there; with CI=true it must be.
fn transcripts() -> Option<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/peer");
    assert!(
        folder.is_dir() || std::env::var("CI").as_deref() != Ok("true"),
        "{} is required with CI=true",
        folder.display()
    );
    folder.is_dir().then_some(folder)
}

fn plain() -> Context {
    Context::new(&crate::context::Global { no_color: true, ..Default::default() }, crate::context::Needs::Agent)
        .unwrap()
}

/// The JSON after the second empty line of an exchange.
fn answer(exchange: &str) -> Option<JobPlanResponse> {
    let (_, rest) = exchange.split_once("\n\n")?;
    let (_, body) = rest.split_once("\n\n")?;
    serde_json::from_str(body).ok()
}

#[test]
fn recorded_plans_are_printed_as_recorded() {
    let Some(folder) = transcripts() else { return };
    let mut compared = 0;
    for entry in std::fs::read_dir(folder.join("http/plan")).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()?.strip_prefix("plan-")) else { continue };
        let Some(response) = answer(&std::fs::read_to_string(&path).unwrap()) else { continue };
        let printed = std::fs::read_dir(folder.join("cli/08-plan-diffs")).unwrap().find_map(|entry| {
            let path = entry.ok()?.path();
            path.to_str()?.ends_with(&format!("-plan-{name}.txt")).then(|| std::fs::read_to_string(path).ok())?
        });
        let Some(printed) = printed else { continue };
        let (_, printed) = printed.split_once('\n').unwrap();
        let (expected, rest) = printed.split_once("\n\nScheduler dry-run:").unwrap();
        let difference = response.diff.as_ref().unwrap();
        assert_eq!(diff::job(difference, false, &plain()), expected, "{name}");
        assert!(rest.ends_with(&format!("[exit {}]\n", code(&response))), "{name}: exit code {}", code(&response));
        compared += 1;
    }
    assert!(compared > 10, "only {compared} plans were compared");
}
