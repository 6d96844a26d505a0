//! The server: two hosts, a thread for each connection, a record of what was asked, and faults.

use std::fs;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::content::Content;
use crate::fault::{Fault, Faults, Wire};
use crate::files::{self, FileAddress};
use crate::http::{Body, Connection, Host, Request, Response, reason};
use crate::world::{Account, Entry, Files, Gated, Repository, Role, World, is_large, kind_of};
use crate::{api, publish};

/// How the server behaves in all it does.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Files longer than this go to LFS when they are published.
    pub(crate) lfs_threshold: u64,
    /// Files longer than this are uploaded in parts of this length.
    pub(crate) part_size: u64,
    /// How many entries a page of a listing has.
    pub(crate) page_size: usize,
    /// Whether small files redirect to `/api/resolve-cache/…`, as they do since 2025.
    pub(crate) resolve_cache: bool,
    /// Only files, without an API.
    pub(crate) plain: bool,
}

/// The addresses of the two hosts, and the options.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) hub: String,
    pub(crate) cdn: String,
    pub(crate) options: Options,
}

/// How many bytes are written at once.
const PIECE: usize = 16 << 10;

/// How many bytes of files were sent, and where to pause.
#[derive(Debug, Default)]
struct Meter {
    /// Sent, or about to be.
    taken: u64,
    served: u64,
    hold: Option<u64>,
    held: bool,
}

/// What was asked. A request is known by its place among all, those that were forgotten included.
#[derive(Debug, Default)]
struct Log {
    forgotten: usize,
    requests: Vec<Request>,
}

impl Log {
    fn get_mut(&mut self, place: usize) -> Option<&mut Request> {
        self.requests.get_mut(place.checked_sub(self.forgotten)?)
    }
}

struct Shared {
    site: Site,
    world: Mutex<World>,
    script: Mutex<Vec<Fault>>,
    log: Mutex<Log>,
    meter: Mutex<Meter>,
    changed: Condvar,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while it answered has left nothing half done that matters to a test, which fails anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A Hub for tests, on two ports of this machine. It ends when the value is dropped.
///
/// It begins without repositories. Its accounts are `alice`, a member of `org` and of `team`, with
/// [`WRITE_TOKEN`](Self::WRITE_TOKEN) and [`READ_TOKEN`](Self::READ_TOKEN), and `bob`, who belongs to nothing, with
/// [`OTHER_TOKEN`](Self::OTHER_TOKEN).
pub struct StandIn {
    shared: Arc<Shared>,
    ports: [u16; 2],
}

impl std::fmt::Debug for StandIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StandIn at {}", self.endpoint())
    }
}

/// Options of a stand-in, to begin with.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    options: Options,
    ports: [u16; 2],
}

impl Builder {
    /// Files longer than this, in bytes, go to LFS when they are published. 10 MiB, as on the Hub.
    pub fn lfs_threshold(mut self, bytes: u64) -> Self {
        self.options.lfs_threshold = bytes;
        self
    }

    /// Files longer than this, in bytes, are uploaded in parts of this length. 16 MiB.
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.options.part_size = bytes;
        self
    }

    /// How many entries a page of a listing has. 1,000.
    pub fn page_size(mut self, entries: usize) -> Self {
        self.options.page_size = entries.max(1);
        self
    }

    /// Whether small files redirect to `/api/resolve-cache/…`, as they do on the Hub since 2025. They do.
    pub fn resolve_cache(mut self, redirects: bool) -> Self {
        self.options.resolve_cache = redirects;
        self
    }

    /// Serves the files alone, as a plain file server does that was laid out like a Hub: without its headers, its listings
    /// and the second host. Of the API there is the document of each revision (`/api/models/{id}/revision/{revision}`).
    pub fn static_files(mut self) -> Self {
        self.options.plain = true;
        self
    }

    /// The port of the Hub, and of the storage; 0 for any that is free.
    pub fn ports(mut self, hub: u16, cdn: u16) -> Self {
        self.ports = [hub, cdn];
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// If the ports cannot be had.
    pub fn try_start(self) -> io::Result<StandIn> {
        let listeners = [
            TcpListener::bind(("127.0.0.1", self.ports[0]))?,
            TcpListener::bind(("127.0.0.1", self.ports[1]))?,
        ];
        let ports = [
            listeners[0].local_addr()?.port(),
            listeners[1].local_addr()?.port(),
        ];
        let mut world = World::default();
        for (name, token, role) in [
            ("alice", StandIn::WRITE_TOKEN, Role::Write),
            ("alice", StandIn::READ_TOKEN, Role::Read),
            ("bob", StandIn::OTHER_TOKEN, Role::Write),
        ] {
            world.accounts.push(Account {
                name: name.to_owned(),
                token: token.to_owned(),
                role,
                organizations: if name == "alice" {
                    vec!["org".to_owned(), "team".to_owned()]
                } else {
                    Vec::new()
                },
            });
        }
        let shared = Arc::new(Shared {
            site: Site {
                hub: format!("http://127.0.0.1:{}", ports[0]),
                cdn: format!("http://127.0.0.1:{}", ports[1]),
                options: self.options,
            },
            world: Mutex::new(world),
            script: Mutex::default(),
            log: Mutex::default(),
            meter: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        for (listener, host) in listeners.into_iter().zip([Host::Hub, Host::Cdn]) {
            let shared = shared.clone();
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let shared = shared.clone();
                    thread::spawn(move || {
                        // A client that is gone is none of the server's troubles.
                        let _ = shared.converse(stream, host);
                    });
                }
            });
        }
        Ok(StandIn { shared, ports })
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// If the ports cannot be had.
    #[must_use]
    pub fn start(self) -> StandIn {
        self.try_start()
            .expect("a test machine has free ports on its own address")
    }
}

impl StandIn {
    /// A token of `alice` that may write.
    pub const WRITE_TOKEN: &'static str = "hf_standInAliceWrites0123456789abcdef";
    /// A token of `alice` that may only read.
    pub const READ_TOKEN: &'static str = "hf_standInAliceReads0123456789abcdefg";
    /// A token of `bob`, who belongs to no organisation, that may write.
    pub const OTHER_TOKEN: &'static str = "hf_standInBobWrites0123456789abcdefgh";

    /// Starts one as the Hub is.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Starts one with options.
    pub fn builder() -> Builder {
        Builder {
            options: Options {
                lfs_threshold: 10 << 20,
                part_size: 16 << 20,
                page_size: 1000,
                resolve_cache: true,
                plain: false,
            },
            ports: [0, 0],
        }
    }

    /// The address of the Hub: what `HF_ENDPOINT` would be.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.shared.site.hub.clone()
    }

    /// The address of the storage that large files redirect to.
    #[must_use]
    pub fn storage(&self) -> String {
        self.shared.site.cdn.clone()
    }

    /// Describes a repository: `org/name` for a model, `datasets/org/name`, `spaces/org/name` or `kernels/org/name`.
    pub fn repository(&self, id: &str) -> RepositoryBuilder<'_> {
        let (kind, id) = kind_of(id);
        RepositoryBuilder {
            hub: self,
            repository: Repository::new(kind, id),
            files: Files::new(),
        }
    }

    /// Describes a model. See [`RepositoryBuilder::create`].
    pub fn model(&self, id: &str) -> RepositoryBuilder<'_> {
        self.repository(id)
    }

    /// Adds a token: whose it is, and what it allows.
    pub fn account(&self, name: &str, token: &str, role: Role, organizations: &[&str]) {
        lock(&self.shared.world).accounts.push(Account {
            name: name.to_owned(),
            token: token.to_owned(),
            role,
            organizations: organizations.iter().map(|&o| o.to_owned()).collect(),
        });
    }

    /// Looks at what there is, or changes it.
    pub fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut lock(&self.shared.world))
    }

    /// A commit on a branch; see [`World::edit`].
    ///
    /// # Panics
    ///
    /// If there is no such repository.
    pub fn edit(&self, id: &str, branch: &str, files: &[(&str, Option<&[u8]>)]) -> String {
        self.world(|world| world.edit(id, branch, files))
    }

    /// Adds a fault to the script.
    pub fn fault(&self, fault: Fault) {
        lock(&self.shared.script).push(fault);
    }

    /// Lets everything go right again.
    pub fn clear_faults(&self) {
        lock(&self.shared.script).clear();
    }

    /// What was asked since the start, or since the record was cleared, in the order in which it came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.log).requests.clone()
    }

    /// Forgets what was asked.
    pub fn clear_requests(&self) {
        let mut log = lock(&self.shared.log);
        log.forgotten += log.requests.len();
        log.requests.clear();
    }

    /// The requests to the storage that carried a token, in whatever place: there should be none.
    #[must_use]
    pub fn leaks(&self) -> Vec<Request> {
        let mut requests = self.requests();
        let tokens = self.world(|world| -> Vec<String> {
            let accounts = world.accounts.iter();
            accounts.map(|account| account.token.clone()).collect()
        });
        requests.retain(|request| {
            let said = || format!("{} {:?}", request.query, request.headers);
            request.host == Host::Cdn
                && (request.header("authorization").is_some()
                    || tokens.iter().any(|token| said().contains(token)))
        });
        requests
    }

    /// How many bytes of the contents of files were sent; of those whose names (`org/name/path`) contain `part`.
    #[must_use]
    pub fn served(&self, part: &str) -> u64 {
        lock(&self.shared.log)
            .requests
            .iter()
            .filter(|r| r.file.as_ref().is_some_and(|file| file.contains(part)))
            .map(|r| r.served)
            .sum()
    }

    /// Sends `bytes` more of the contents of files, over all connections, and then holds until [`release`](Self::release)
    /// is called.
    pub fn hold_after(&self, bytes: u64) {
        let mut meter = lock(&self.shared.meter);
        meter.hold = Some(meter.taken + bytes);
        meter.held = false;
    }

    /// Waits until it holds and nothing is on its way any more, for as long as `until` says; whether it does.
    #[must_use]
    pub fn wait_held(&self, mut until: impl FnMut() -> bool) -> bool {
        let mut meter = lock(&self.shared.meter);
        // Another connection may have been given bytes that it has not sent yet.
        while !(meter.held && meter.taken == meter.served) {
            if !until() {
                return false;
            }
            meter = self
                .shared
                .changed
                .wait_timeout(meter, Duration::from_millis(5))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Goes on where it was held, or lets it not hold at all.
    pub fn release(&self) {
        let mut meter = lock(&self.shared.meter);
        meter.hold = None;
        meter.held = false;
        self.shared.changed.notify_all();
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        for port in self.ports {
            // Wakes the thread that waits for connections.
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
    }
}

/// A repository that is being described.
#[derive(Debug)]
#[must_use]
pub struct RepositoryBuilder<'h> {
    hub: &'h StandIn,
    repository: Repository,
    files: Files,
}

impl RepositoryBuilder<'_> {
    /// A file. Those that models' weights are in by their name (`.safetensors`, `.bin` …) are in LFS, as on the Hub.
    pub fn file(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let lfs = is_large(path);
        self.entry(path, Content::new(bytes.into()), lfs)
    }

    /// A file in LFS, whatever its name: it is on the second host, and named by its SHA-256.
    pub fn lfs(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.entry(path, Content::new(bytes.into()), true)
    }

    /// A file in git, whatever its name: it is on the first host, and named by git.
    pub fn git(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.entry(path, Content::new(bytes.into()), false)
    }

    /// The files of a folder and of those in it, read when they are asked for. Hidden ones are left out.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read.
    pub fn folder(mut self, folder: &Path) -> io::Result<Self> {
        let mut folders = vec![(folder.to_owned(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = format!("{prefix}{name}");
                if name.starts_with('.') && name != ".gitattributes" {
                    continue;
                }
                if fs::metadata(entry.path())?.is_dir() {
                    folders.push((entry.path(), format!("{path}/")));
                } else {
                    let content = Content::from_file(&entry.path())?;
                    let lfs =
                        is_large(&path) || content.len > self.hub.shared.site.options.lfs_threshold;
                    self = self.entry(&path, content, lfs);
                }
            }
        }
        Ok(self)
    }

    fn entry(mut self, path: &str, content: Content, lfs: bool) -> Self {
        let content = Arc::new(content);
        self.files.insert(path.to_owned(), Entry { content, lfs });
        self
    }

    /// Only its owner, and members of its organisation, see it.
    pub fn private(mut self) -> Self {
        self.repository.private = true;
        self
    }

    /// Whoever accepts its conditions may read its files; these accounts did.
    pub fn gated(mut self, accepted: &[&str]) -> Self {
        self.repository.gated = Gated::Manual;
        self.repository.accepted = accepted.iter().map(|&a| a.to_owned()).collect();
        self
    }

    /// Conditions that are accepted at once.
    pub fn gated_automatically(mut self, accepted: &[&str]) -> Self {
        self = self.gated(accepted);
        self.repository.gated = Gated::Auto;
        self
    }

    /// Its files in LFS have a Xet hash, as most on the Hub do.
    pub fn xet(mut self) -> Self {
        self.repository.xet = true;
        self
    }

    /// A member of the document that describes it (`downloads`, `likes`, `cardData`, `tags` …), in place of what is made
    /// up for it.
    pub fn info(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.repository.info.insert(name.to_owned(), value.into());
        self
    }

    /// Members of the document that describes it.
    pub fn infos(mut self, members: Map<String, Value>) -> Self {
        self.repository.info.extend(members);
        self
    }

    /// Makes it, with one commit on `main`. The name of that commit.
    pub fn create(self) -> String {
        let (kind, id) = (self.repository.kind, self.repository.id.clone());
        let mut world = lock(&self.hub.shared.world);
        world
            .repositories
            .insert((kind, id.clone()), self.repository);
        world.add_commit(
            kind,
            &id,
            "main",
            None,
            "Initial commit",
            "alice",
            self.files,
        )
    }
}

impl Shared {
    fn converse(&self, stream: TcpStream, host: Host) -> io::Result<()> {
        let mut connection = Connection::new(stream)?;
        while let Some(mut request) = connection.head(host, &self.stop)? {
            let address = match host {
                Host::Hub => FileAddress::parse(&request.path),
                Host::Cdn => None,
            };
            request.file = match host {
                Host::Hub => address.as_ref().map(FileAddress::file),
                Host::Cdn => files::stored_file(&request.path),
            };
            let faults = Faults::on(&mut lock(&self.script), &request, request.file.as_deref());
            let wire = faults.wire();
            let place = {
                let mut log = lock(&self.log);
                log.requests.push(request.clone());
                log.forgotten + log.requests.len() - 1
            };
            if !wire.reset {
                connection.body(&mut request)?;
            } else if wire.silent {
                return Ok(());
            }
            if let Some(entry) = lock(&self.log).get_mut(place) {
                entry.body.clone_from(&request.body);
            }
            if wire.silent {
                return Ok(());
            }
            let response = {
                let mut world = lock(&self.world);
                faults.before(&mut world);
                let ignore_range = faults.ignore_range();
                let site = &self.site;
                match (host, &address) {
                    _ if site.options.plain => files::plain(&world, &request, ignore_range),
                    (Host::Hub, Some(address)) => {
                        files::resolve(&world, site, &request, address, ignore_range)
                            .unwrap_or_else(|refusal| refusal)
                    }
                    (Host::Hub, None) => api::answer(&mut world, site, &request),
                    (Host::Cdn, _) if request.method == "PUT" => {
                        publish::store(&mut world, &request)
                    }
                    (Host::Cdn, _) => files::storage(&world, &request, ignore_range),
                }
            };
            let response = faults.answer(response);
            if let Some(entry) = lock(&self.log).get_mut(place) {
                entry.status = response.status;
            }
            let again = self.write(&mut connection.stream, &request, place, response, &wire)?;
            if !again
                || request
                    .header("connection")
                    .is_some_and(|c| c.eq_ignore_ascii_case("close"))
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes an answer; whether the connection can be used again.
    fn write(
        &self,
        stream: &mut TcpStream,
        request: &Request,
        place: usize,
        mut response: Response,
        wire: &Wire,
    ) -> io::Result<bool> {
        let len = response.body.len();
        let chunked = wire.chunked || len.is_none();
        let mut again = wire.length == 0 && !wire.unannounced && !wire.reset;
        let given = response
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if given {
            again = false;
        } else if chunked {
            response.set("Transfer-Encoding", "chunked");
        } else if let Some(len) = len
            && !wire.unannounced
        {
            response.set(
                "Content-Length",
                &len.saturating_add_signed(wire.length).to_string(),
            );
        }
        response.set("X-Request-Id", &format!("Root=1-stand-in-{place}"));
        if !again {
            response.set("Connection", "close");
        }
        let mut head = format!(
            "HTTP/1.1 {} {}\r\n",
            response.status,
            reason(response.status)
        );
        for (name, value) in &response.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        stream.write_all(head.as_bytes())?;
        if request.method == "HEAD" {
            return Ok(again);
        }
        let is_file = matches!(response.body, Body::File { .. });
        let start = match response.body {
            Body::File { start, .. } => start,
            _ => 0,
        };
        let mut offset = 0;
        let end = wire.cut.into_iter().chain(len).min();
        while end.is_none_or(|end| offset < end) && !self.stop.load(Ordering::Relaxed) {
            let mut most = wire.pace.map_or(PIECE, |(bytes, _)| bytes.min(PIECE));
            for limit in end.into_iter().chain(wire.stall) {
                most = most.min(usize::try_from(limit - offset).unwrap_or(most));
            }
            if most == 0 {
                self.stall();
                return Ok(false);
            }
            if is_file {
                most = self.take(most, stream)?;
            }
            let mut piece = response.body.piece(offset, most)?;
            if let Some(place) = wire.corrupt.and_then(|at| at.checked_sub(start + offset))
                && let Some(byte) = usize::try_from(place).ok().and_then(|at| piece.get_mut(at))
            {
                *byte ^= 4;
            }
            let written = if chunked {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
                stream.write_all(&chunk)
            } else {
                stream.write_all(&piece)
            };
            if is_file {
                self.account_for(place, most, written.is_ok());
            }
            written?;
            offset += piece.len() as u64;
            if let Some((_, pause)) = wire.pace {
                thread::sleep(pause);
            }
        }
        if wire.stall.is_some_and(|at| at <= offset) {
            self.stall();
            return Ok(false);
        }
        let whole = len.is_some_and(|len| offset == len) && wire.cut.is_none();
        if chunked && whole {
            stream.write_all(b"0\r\n\r\n")?;
        }
        Ok(again && whole)
    }

    /// Waits until the end of the server, or half an hour.
    fn stall(&self) {
        let end = Instant::now() + Duration::from_secs(1800);
        while !self.stop.load(Ordering::Relaxed) && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// How many of the bytes may be sent now: waits while it holds. An error if the client is gone after that.
    fn take(&self, most: usize, stream: &TcpStream) -> io::Result<usize> {
        let mut meter = lock(&self.meter);
        let mut waited = false;
        loop {
            let left = meter.hold.map(|at| at.saturating_sub(meter.taken));
            if left != Some(0) || self.stop.load(Ordering::Relaxed) {
                let n = left.map_or(most, |left| most.min(usize::try_from(left).unwrap_or(most)));
                let n = if n == 0 { most } else { n };
                if waited && is_gone(stream) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                meter.taken += n as u64;
                return Ok(n);
            }
            waited = true;
            meter.held = true;
            self.changed.notify_all();
            meter = self
                .changed
                .wait_timeout(meter, Duration::from_millis(50))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn account_for(&self, place: usize, bytes: usize, sent: bool) {
        let mut meter = lock(&self.meter);
        if sent {
            meter.served += bytes as u64;
            if let Some(entry) = lock(&self.log).get_mut(place) {
                entry.served += bytes as u64;
            }
        } else {
            meter.taken -= bytes as u64;
        }
        self.changed.notify_all();
    }
}

/// Whether the client has closed its end, or died.
fn is_gone(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let gone = match stream.peek(&mut [0]) {
        Ok(n) => n == 0,
        Err(e) => e.kind() != io::ErrorKind::WouldBlock,
    };
    gone || stream.set_nonblocking(false).is_err()
}
