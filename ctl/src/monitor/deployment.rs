//! Watching a deployment: a block at each change; on a terminal a line that moves, with the newest block below it.

use std::io::Write as _;
use std::time::Duration;

use nomadd_api::Request;
use nomadd_model::{AllocationListStub, Deployment, DeploymentStatus};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::{allocations, deployment};
use crate::text::{self, Length};

const FRAMES: &[char] = &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// How often the moving line moves.
const FRAME_TIME: Duration = Duration::from_millis(100);
/// How long servers are given to begin a rollback.
const ROLLBACK_TIME: Duration = Duration::from_secs(1);

/// Watches a deployment to its end, and the rollback that follows a failed one. `indent` begins the line before each block.
pub async fn deployment(
    context: &Context,
    id: &str,
    length: Length,
    indent: &str,
) -> Result<DeploymentStatus, Failure> {
    let mut id = id.to_owned();
    let mut ended: Option<DeploymentStatus> = None;
    loop {
        let last = one(context, &id, length, indent).await?;
        let first = *ended.get_or_insert(last.status);
        let reverts =
            last.status == DeploymentStatus::Failed && last.task_groups.values().any(|group| group.auto_revert);
        if !reverts {
            return Ok(first);
        }
        tokio::time::sleep(ROLLBACK_TIME).await;
        let path = format!("/v1/job/{}/deployment", nomadd_api::segment(&last.job_id));
        let newest = context.client.call::<Option<Deployment>>(Request::get(path)).await;
        let newest = newest.map_err(|error| Failure::request("reading deployment", &error))?.value;
        match newest {
            Some(newest) if newest.id != last.id => {
                println!();
                id = newest.id.to_string();
            }
            _ => return Ok(first),
        }
    }
}

/// Watches one deployment to its end and returns its last form.
async fn one(context: &Context, id: &str, length: Length, indent: &str) -> Result<Deployment, Failure> {
    let mut live = Live { shown: 0, frame: 0 };
    let mut index = 0;
    let mut newest: Option<Deployment> = None;
    loop {
        let mut asking = std::pin::pin!(ask(context, id, index));
        let (found, now_index) = loop {
            tokio::select! {
                answer = &mut asking => break answer?,
                () = tokio::time::sleep(FRAME_TIME), if live.shown > 0 => live.turn(id, length),
            }
        };
        let changed = newest.as_ref().is_none_or(|newest| newest.modify_index != found.modify_index);
        if changed {
            let mut block = deployment::moment(&found, length, context, text::now());
            if length == Length::Full {
                let table = placed(context, id).await?;
                block.push_str(&format!("\n\n{}\n{table}", context.bold("Allocations")));
            }
            if context.terminal && fits(&block) {
                live.show(id, length, &found, &block);
            } else {
                live.shown = 0;
                println!("{indent}\n{block}");
            }
        }
        if !goes_on(found.status) {
            return Ok(found);
        }
        if now_index == 0 {
            tokio::time::sleep(FRAME_TIME).await;
        }
        index = now_index;
        newest = Some(found);
    }
}

/// Whether a deployment that goes on has not placed anything yet.
pub async fn is_empty(context: &Context, id: &str) -> Result<bool, Failure> {
    let (deployment, _) = ask(context, id, 0).await?;
    Ok(goes_on(deployment.status) && deployment.task_groups.values().all(|group| group.placed_allocs == 0))
}

fn goes_on(status: DeploymentStatus) -> bool {
    status.is_active() && status != DeploymentStatus::Blocked
}

async fn ask(context: &Context, id: &str, index: u64) -> Result<(Deployment, u64), Failure> {
    let mut request = Request::get(format!("/v1/deployment/{}", nomadd_api::segment(id)));
    if index > 0 {
        request = request.query("index", index).query("wait", "1m");
    }
    let answer = context.client.call::<Option<Deployment>>(request).await;
    let answer = answer.map_err(|error| Failure::request("fetching deployment", &error))?;
    let found = answer.value.ok_or_else(|| Failure::new(format!("Error fetching deployment: no deployment {id:?}")))?;
    Ok((found, answer.meta.index))
}

async fn placed(context: &Context, id: &str) -> Result<String, Failure> {
    let request = Request::get(format!("/v1/deployment/allocations/{}", nomadd_api::segment(id)));
    let found = context.client.call::<Option<Vec<AllocationListStub>>>(request).await;
    let found = found.map_err(|error| Failure::request("fetching allocations", &error))?;
    let mut found = found.value.unwrap_or_default();
    allocations::newest_first(&mut found);
    Ok(allocations::table(&found, true, text::now()))
}

/// Whether a block can be drawn anew in its place: a terminal that scrolls or wraps it has lost the place.
fn fits(block: &str) -> bool {
    let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout()) else { return false };
    let (rows, columns) = (usize::from(size.ws_row), usize::from(size.ws_col));
    // A pseudo-terminal whose size nobody has set says 0.
    let high = rows == 0 || block.lines().count() + 3 <= rows;
    high && (columns == 0 || block.lines().all(|line| line.chars().count() + 4 <= columns))
}

/// What stands on the terminal now.
struct Live {
    /// Lines below the moving one.
    shown: usize,
    frame: usize,
}

impl Live {
    /// Draws the moving line anew; the cursor is below the block before and after.
    fn turn(&mut self, id: &str, length: Length) {
        self.frame = (self.frame + 1) % FRAMES.len();
        let up = self.shown + 1;
        let line = self.moving(id, length);
        print!("\u{1b}[{up}A\u{1b}[0G\u{1b}[2K{line}\u{1b}[{up}B\u{1b}[0G");
        let _ = std::io::stdout().flush();
    }

    fn moving(&self, id: &str, length: Length) -> String {
        let frame = FRAMES.get(self.frame).copied().unwrap_or('*');
        format!("  {frame} Deployment {:?} in progress...", length.id(id))
    }

    /// Draws the line and the block in place of the earlier ones.
    fn show(&mut self, id: &str, length: Length, deployment: &Deployment, block: &str) {
        if self.shown > 0 {
            print!("\u{1b}[{}A\u{1b}[0G\u{1b}[J", self.shown + 1);
        }
        let short = length.id(id);
        match deployment.status {
            DeploymentStatus::Successful => println!("  ✓ Deployment {short:?} successful"),
            status if goes_on(status) => println!("{}", self.moving(id, length)),
            status => println!("  ! Deployment {short:?} {status}"),
        }
        println!("    ");
        self.shown = 1;
        for line in block.lines() {
            println!("    {line}");
            self.shown += 1;
        }
        let _ = std::io::stdout().flush();
    }
}
