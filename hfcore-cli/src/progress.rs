//! How a download goes, on standard error: bars in a terminal, a line now and then elsewhere.
//!
//! In a terminal each file that arrives has a bar, and under them is one for all. They are gone when it ends, and a line
//! says what was fetched. Without a terminal, or with `HF_HUB_DISABLE_PROGRESS_BARS`, what takes longer than a second is
//! said when it begins and when it ends. Retries and other processes that are waited for are said in both.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hfcore::hub::{Environment, Event, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, bytes, counted, printable};

/// Nothing is said of what takes less.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest name of a file beside its bar, in characters.
const MAX_NAME: usize = 40;

/// Shows downloads for as long as this lives. What is shown is gone before an error is printed.
pub(crate) struct Watch {
    shown: Arc<Shown>,
}

impl Watch {
    /// Bars if somebody sees them and wants them.
    pub(crate) fn new() -> Self {
        Self::with(DOWNLOAD)
    }

    /// The same of files that leave.
    pub(crate) fn of_upload() -> Self {
        Self::with(UPLOAD)
    }

    fn with(words: Words) -> Self {
        let bars = bars_are_wanted().then(Bars::new);
        let shown = Shown {
            words,
            bars,
            state: Mutex::default(),
        };
        Self {
            shown: Arc::new(shown),
        }
    }

    /// For whoever downloads, or uploads.
    pub(crate) fn progress(&self) -> Arc<dyn Progress> {
        self.shown.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shown.end();
    }
}

/// Whether somebody sees bars and wants them.
fn bars_are_wanted() -> bool {
    let wanted = Environment::from_process()
        .is_ok_and(|environment| environment.progress_bars != Some(false));
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    wanted && !dumb && io::stderr().is_terminal()
}

/// What is shown, from the threads of the download.
struct Shown {
    words: Words,
    bars: Option<Bars>,
    state: Mutex<State>,
}

/// What is being done to files.
struct Words {
    doing: &'static str,
    done: &'static str,
}

const DOWNLOAD: Words = Words {
    doing: "fetching",
    done: "fetched",
};

const UPLOAD: Words = Words {
    doing: "sending",
    done: "sent",
};

/// How far it is.
#[derive(Default)]
struct State {
    /// When the first thing happened.
    since: Option<Instant>,
    /// The repository, if one is known.
    repo: Option<String>,
    /// Files and bytes that plans announced.
    planned: Total,
    /// Files and bytes that began.
    begun: Total,
    /// Files that were downloaded, and bytes that arrived in this process.
    arrived: Total,
    /// Files that are there now, also because another process downloaded them.
    done: usize,
    /// Bytes that earlier tries had left.
    resumed: u64,
    /// Whether it was said that it takes long.
    said: bool,
    /// Whether it was said that files are read before they are sent.
    said_reading: bool,
    /// Files under way.
    files: HashMap<String, File>,
}

#[derive(Clone, Copy, Default)]
struct Total {
    files: usize,
    bytes: u64,
}

/// A file under way.
struct File {
    /// Bytes that are there, those of earlier tries with them.
    here: u64,
    /// Of them, those that arrived now.
    arrived: u64,
    bar: Option<ProgressBar>,
}

impl State {
    /// Files and bytes in all, as far as is known.
    fn total(&self) -> Total {
        Total {
            files: self.planned.files.max(self.begun.files),
            bytes: self.planned.bytes.max(self.begun.bytes),
        }
    }

    /// What is being fetched: `3 files (1.2 GiB) of org/name`.
    fn what(&self, total: Total) -> String {
        let mut text = counted(total.files, "file");
        if total.bytes > 0 {
            text.push_str(&format!(" ({})", bytes(total.bytes)));
        }
        if let Some(repo) = &self.repo {
            text.push_str(&format!(" of {repo}"));
        }
        text
    }
}

impl Shown {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that stays.
    fn say(&self, text: impl Display) {
        match &self.bars {
            Some(bars) => bars.say(&text.to_string()),
            None => output::message(text),
        }
    }

    /// Takes down what is shown, and says what was fetched if it took a while.
    fn end(&self) {
        let state = std::mem::take(&mut *self.state());
        for file in state.files.values() {
            file.bar.iter().for_each(ProgressBar::finish_and_clear);
        }
        if let Some(bars) = &self.bars {
            bars.all.finish_and_clear();
        }
        let took = state.since.map_or(Duration::ZERO, |since| since.elapsed());
        if state.arrived.files == 0 || (took < PATIENCE && !state.said) {
            return;
        }
        let mut text = format!("{} {}", self.words.done, state.what(state.arrived));
        let missing = state.total().files.saturating_sub(state.done);
        if missing > 0 {
            text.push_str(&format!(", {missing} more were not"));
        }
        if state.resumed > 0 {
            let resumed = bytes(state.resumed);
            text.push_str(&format!(", going on after {resumed} of an earlier try"));
        }
        self.say(format_args!("{text}, in {:.1} s", took.as_secs_f64()));
    }

    /// Says that it takes long, once it does.
    fn say_if_long(&self, state: &mut State) {
        let long = state.since.is_some_and(|since| since.elapsed() >= PATIENCE);
        if self.bars.is_none() && long && !state.said && state.begun.files > 0 {
            state.said = true;
            let what = state.what(state.total());
            self.say(format_args!("{} {what} …", self.words.doing));
        }
    }
}

impl Progress for Shown {
    fn event(&self, event: &Event<'_>) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.since.get_or_insert_with(Instant::now);
        match *event {
            Event::Plan {
                repo, files, bytes, ..
            } => {
                state.repo = Some(repo.to_string());
                state.planned.files += files;
                state.planned.bytes = state.planned.bytes.saturating_add(bytes);
            }
            Event::Start {
                path,
                size,
                resumed,
            } => {
                // What a try had before is counted anew.
                if !state.files.contains_key(path) {
                    state.begun.files += 1;
                    state.begun.bytes = state.begun.bytes.saturating_add(size.unwrap_or(0));
                }
                state.resumed = state.resumed.saturating_add(resumed);
                if resumed > 0 {
                    self.say(format_args!(
                        "{}: goes on after {}",
                        printable(path),
                        bytes(resumed)
                    ));
                }
                let bar = self
                    .bars
                    .as_ref()
                    .map(|bars| bars.file(path, size, resumed));
                if let Some(bars) = &self.bars {
                    bars.all.inc(resumed);
                }
                let file = File {
                    here: resumed,
                    arrived: 0,
                    bar,
                };
                if let Some(before) = state.files.insert(path.to_owned(), file) {
                    self.forget(state, &before);
                    before.bar.iter().for_each(ProgressBar::finish_and_clear);
                }
                self.say_if_long(state);
            }
            Event::Advance { path, bytes } => {
                if let Some(file) = state.files.get_mut(path) {
                    file.here = file.here.saturating_add(bytes);
                    file.arrived = file.arrived.saturating_add(bytes);
                    if let Some(bar) = &file.bar {
                        bar.inc(bytes);
                    }
                }
                state.arrived.bytes = state.arrived.bytes.saturating_add(bytes);
                if let Some(bars) = &self.bars {
                    bars.all.inc(bytes);
                }
                self.say_if_long(state);
            }
            Event::Hashed { .. } => {
                let long = state.since.is_some_and(|since| since.elapsed() >= PATIENCE);
                if long && !state.said_reading {
                    state.said_reading = true;
                    self.say("reading the large files, by whose contents the Hub knows them …");
                }
            }
            Event::Sent { path, bytes } => {
                let moved = |n: u64| n.saturating_add_signed(bytes);
                if let Some(file) = state.files.get_mut(path) {
                    file.here = moved(file.here);
                    file.arrived = moved(file.arrived);
                    if let Some(bar) = &file.bar {
                        bar.set_position(file.here);
                    }
                }
                state.arrived.bytes = moved(state.arrived.bytes);
                if let Some(bars) = &self.bars {
                    bars.all.set_position(moved(bars.all.position()));
                }
                self.say_if_long(state);
            }
            Event::Restart { path } => {
                self.say(format_args!(
                    "{}: what had arrived is of no use; it begins anew",
                    printable(path)
                ));
                if let Some(mut file) = state.files.remove(path) {
                    self.forget(state, &file);
                    (file.here, file.arrived) = (0, 0);
                    if let Some(bar) = &file.bar {
                        bar.set_position(0);
                        bar.reset_eta();
                    }
                    state.files.insert(path.to_owned(), file);
                }
            }
            Event::Waiting { path } => {
                self.say(format_args!(
                    "{}: another process downloads it; waiting for it",
                    printable(path)
                ));
            }
            Event::Retry { what, after, why } => {
                self.say(format_args!(
                    "{} failed ({}); trying again in {:.1} s",
                    printable(what),
                    printable(&why.chain()),
                    after.as_secs_f64()
                ));
            }
            Event::Done { path, downloaded } => {
                if let Some(file) = state.files.remove(path) {
                    file.bar.iter().for_each(ProgressBar::finish_and_clear);
                    if !downloaded {
                        self.forget(state, &file);
                    }
                }
                state.arrived.files += usize::from(downloaded);
                state.done += 1;
            }
            _ => {}
        }
        if let Some(bars) = &self.bars {
            bars.show(state.total(), state.done);
        }
    }
}

impl Shown {
    /// What arrived of `file` does not count any more.
    fn forget(&self, state: &mut State, file: &File) {
        state.arrived.bytes = state.arrived.bytes.saturating_sub(file.arrived);
        state.resumed = state.resumed.saturating_sub(file.here - file.arrived);
        if let Some(bars) = &self.bars {
            bars.all.dec(file.here);
        }
    }
}

/// Bars of a terminal: files, and under them all of them.
struct Bars {
    multi: MultiProgress,
    all: ProgressBar,
}

impl Bars {
    fn new() -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        // It is drawn once there is something to draw.
        let all = ProgressBar::no_length().with_style(style(
            "{msg:.bold} {wide_bar:.green/dim} {bytes:>10}/{total_bytes} {bytes_per_sec:>12} {eta:>4}",
        ));
        Self {
            all: multi.add(all),
            multi,
        }
    }

    /// A new bar, above the one for all.
    fn file(&self, path: &str, size: Option<u64>, resumed: u64) -> ProgressBar {
        let (bar, form) = match size {
            Some(size) => (
                ProgressBar::new(size),
                "  {msg} {wide_bar:.cyan/dim} {bytes:>10}/{total_bytes} {bytes_per_sec:>12} {eta:>4}",
            ),
            None => (
                ProgressBar::no_length(),
                "  {msg} {spinner} {bytes:>10} {bytes_per_sec:>12}",
            ),
        };
        let bar = bar.with_style(style(form)).with_position(resumed);
        let bar = self.multi.insert_before(&self.all, bar);
        bar.set_message(shortened(&printable(path)));
        bar
    }

    fn show(&self, total: Total, done: usize) {
        if total.files == 0 || self.all.is_finished() {
            return;
        }
        if self.all.length() != Some(total.bytes) && total.bytes > 0 {
            self.all.set_length(total.bytes);
        }
        self.all
            .set_message(format!("{done}/{} files", total.files));
    }

    /// A line above them.
    fn say(&self, text: &str) {
        // Where standard error is gone there is nobody to tell.
        let _ = self.multi.println(text);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are ours, and tested")
        .progress_chars("━━╌")
}

/// The end of a path says most.
fn shortened(path: &str) -> String {
    let length = path.chars().count();
    if length <= MAX_NAME {
        return format!("{path:MAX_NAME$}");
    }
    let end: String = path.chars().skip(length + 1 - MAX_NAME).collect();
    format!("…{end}")
}

/// Bytes of this machine that are read: how far it is.
pub(crate) struct Count {
    what: &'static str,
    total: u64,
    since: Instant,
    bar: Option<ProgressBar>,
    said: bool,
    /// Of the files before the present one.
    before: u64,
    /// Of the present one.
    read: u64,
}

impl Count {
    /// `what` is being done to so many bytes.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = bars_are_wanted().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(style(
                "{msg} {wide_bar:.green/dim} {bytes:>10}/{total_bytes} {bytes_per_sec:>12} {eta:>4}",
            ));
            bar.set_message(what);
            bar
        });
        Self {
            what,
            total,
            since: Instant::now(),
            bar,
            said: false,
            before: 0,
            read: 0,
        }
    }

    /// So much of the present file is read: less than before means that the next one began.
    pub(crate) fn at(&mut self, read: u64) {
        if read < self.read {
            self.before = self.before.saturating_add(self.read);
        }
        self.read = read;
        match &self.bar {
            Some(bar) => bar.set_position(self.before.saturating_add(read)),
            None if !self.said && self.since.elapsed() >= PATIENCE => {
                self.said = true;
                output::message(format_args!("{} {} …", self.what, bytes(self.total)));
            }
            None => {}
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hfcore::hub::{Commit, Repo};

    fn shown(bars: Option<Bars>) -> Shown {
        Shown {
            words: DOWNLOAD,
            bars,
            state: Mutex::default(),
        }
    }

    /// A download of two files: one goes on after 30 bytes and begins anew, one comes from another process.
    fn download(shown: &Shown) {
        let repo = Repo::model("org/name").unwrap();
        let commit = Commit::parse(&"0".repeat(40)).unwrap();
        let path = "a.safetensors";
        for event in [
            Event::Plan {
                repo: &repo,
                commit: &commit,
                files: 2,
                bytes: 150,
                present: 0,
            },
            Event::Start {
                path,
                size: Some(100),
                resumed: 30,
            },
            Event::Advance { path, bytes: 20 },
            Event::Restart { path },
            Event::Advance { path, bytes: 100 },
            Event::Waiting { path: "b" },
            Event::Done {
                path: "b",
                downloaded: false,
            },
            Event::Done {
                path,
                downloaded: true,
            },
        ] {
            shown.event(&event);
        }
    }

    #[test]
    fn bytes_are_counted_once() {
        let shown = shown(None);
        download(&shown);
        let state = shown.state();
        let total = state.total();
        assert_eq!((total.files, total.bytes), (2, 150));
        assert_eq!((state.arrived.files, state.arrived.bytes), (1, 100));
        assert_eq!((state.done, state.resumed), (2, 0));
        assert!(state.files.is_empty());
        assert_eq!(state.what(total), "2 files (150 B) of org/name");
    }

    /// What a try that failed had sent is taken back.
    #[test]
    fn what_is_sent_is_counted_once() {
        let shown = shown(Some(Bars::new()));
        let path = "a.safetensors";
        for event in [
            Event::Hashed { path, bytes: 100 },
            Event::Start {
                path,
                size: Some(100),
                resumed: 0,
            },
            Event::Sent { path, bytes: 60 },
            Event::Sent { path, bytes: -60 },
            Event::Sent { path, bytes: 100 },
        ] {
            shown.event(&event);
        }
        assert_eq!(shown.state().arrived.bytes, 100);
        assert_eq!(shown.bars.as_ref().unwrap().all.position(), 100);
        shown.event(&Event::Done {
            path,
            downloaded: true,
        });
        assert_eq!(shown.state().done, 1);
    }

    /// Templates are parsed when bars are made; standard error of a test is no terminal, so that nothing is drawn.
    #[test]
    fn bars_go_where_the_bytes_do() {
        let shown = shown(Some(Bars::new()));
        download(&shown);
        let bars = shown.bars.as_ref().unwrap();
        assert_eq!((bars.all.position(), bars.all.length()), (100, Some(150)));
        let unknown = bars.file("of unknown size", None, 0);
        assert_eq!(unknown.length(), None);
        shown.end();
        assert!(bars.all.is_finished());
    }

    #[test]
    fn what_is_read_adds_up() {
        let mut count = Count::new("checking", 100);
        for read in [0, 40, 0, 10, 60] {
            count.at(read);
        }
        assert_eq!((count.before, count.read), (40, 60));
    }

    #[test]
    fn long_names_end_as_they_do() {
        assert_eq!(shortened("a").chars().count(), MAX_NAME);
        let long = shortened(&format!("{}/model.safetensors", "x".repeat(80)));
        assert_eq!(long.chars().count(), MAX_NAME);
        assert!(
            long.starts_with('…') && long.ends_with("/model.safetensors"),
            "{long}"
        );
    }
}
