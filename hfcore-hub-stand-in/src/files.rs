//! The contents of files: `/{id}/resolve/{revision}/{path}` on the Hub, and the signed addresses of the second host.

use serde_json::json;

use crate::content::sha256_of;
use crate::http::{Body, Request, Response, decoded, encoded, range};
use crate::server::Site;
use crate::world::{Account, Entry, Gated, Kind, Repository, World};

/// A file's address, taken apart.
pub(crate) struct FileAddress {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) revision: String,
    pub(crate) path: String,
    /// Whether it is the address that a small file's first one redirects to.
    pub(crate) cached: bool,
}

impl FileAddress {
    /// `None` for what is the address of something else.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let cached = parts.starts_with(&["api", "resolve-cache"]);
        if cached {
            parts.drain(..2);
        }
        let kind = match Kind::of_plural(parts.first()?) {
            Some(kind) => {
                parts.remove(0);
                kind
            }
            None if cached => return None,
            None => Kind::Model,
        };
        // `resolve` may be the name of a model: the word follows one or two names.
        let id = if cached {
            2
        } else {
            (1..=2).find(|at| parts.get(*at) == Some(&"resolve"))?
        };
        let mut rest = parts.split_off(id);
        if !cached {
            rest.remove(0);
        }
        // References of pull requests are taken unescaped, too.
        let revision = if rest.len() > 3 && rest[0] == "refs" {
            3
        } else {
            1
        };
        if rest.len() <= revision {
            return None;
        }
        let path = rest.split_off(revision);
        Some(Self {
            kind,
            id: decoded(&parts.join("/"), false),
            revision: decoded(&rest.join("/"), false),
            path: decoded(&path.join("/"), false),
            cached,
        })
    }

    pub(crate) fn file(&self) -> String {
        format!("{}{}/{}", self.kind.prefix(), self.id, self.path)
    }
}

/// The account whose token came, if one came; an answer if it is nobody's.
pub(crate) fn account<'w>(
    world: &'w World,
    request: &Request,
) -> Result<Option<&'w Account>, Response> {
    let Some(value) = request.header("authorization") else {
        return Ok(None);
    };
    let token = value.strip_prefix("Bearer ").unwrap_or_default();
    world
        .accounts
        .iter()
        .find(|account| account.token == token)
        .map(Some)
        .ok_or_else(|| Response::error(401, None, "Invalid credentials in Authorization header"))
}

/// The repository, if it is there for whoever asks. `page` is the rest of the address, for the redirect of one that
/// moved.
pub(crate) fn visible<'w>(
    world: &'w World,
    request: &Request,
    kind: Kind,
    id: &str,
) -> Result<&'w Repository, Response> {
    let account = account(world, request)?;
    let repository = world
        .repository(kind, id)
        .filter(|r| !r.private || account.is_some_and(|a| a.is_of(r.namespace())));
    let Some(repository) = repository else {
        // The Hub does not tell strangers what it has: to them nothing and the private are the same.
        return Err(match account {
            None => Response::error(401, None, "Invalid username or password.").with(
                "WWW-Authenticate",
                "Bearer realm=\"Authentication required\", charset=\"UTF-8\"",
            ),
            Some(_) => Response::error(404, Some("RepoNotFound"), "Repository not found"),
        });
    };
    if let Some(to) = &repository.moved_to {
        let old = format!("/{id}");
        let location = request.path.replacen(&old, &format!("/{to}"), 1);
        let query = if request.query.is_empty() { "" } else { "?" };
        return Err(Response::new(307)
            .with("Location", format!("{location}{query}{}", request.query))
            .with("Content-Type", "text/plain")
            .bytes(format!("Temporary Redirect. Redirecting to {location}\n").into_bytes()));
    }
    match repository.disabled {
        Some(403) => Err(Response::error(
            403,
            None,
            "Access to this resource is disabled.",
        )),
        Some(status) => Err(Response::error(
            status,
            None,
            "This repository is not available any more.",
        )),
        None => Ok(repository),
    }
}

/// Whether the contents of a repository may be read by whoever asks.
pub(crate) fn open(
    world: &World,
    request: &Request,
    repository: &Repository,
) -> Result<(), Response> {
    if repository.gated == Gated::No {
        return Ok(());
    }
    let what = format!("{} {}", repository.kind.name(), repository.id);
    match account(world, request)? {
        None => Err(Response::error(
            401,
            Some("GatedRepo"),
            &format!(
                "Access to {what} is restricted. You must have access to it and be authenticated to access it. Please log in."
            ),
        )),
        Some(account)
            if repository.accepted.contains(&account.name)
                || account.is_of(repository.namespace()) =>
        {
            Ok(())
        }
        Some(_) => Err(Response::error(
            403,
            Some("GatedRepo"),
            &format!(
                "Access to {what} is restricted and you are not in the authorized list. Visit the page of {} to ask for access.",
                repository.id
            ),
        )),
    }
}

pub(crate) fn no_revision(revision: &str) -> Response {
    Response::error(
        404,
        Some("RevisionNotFound"),
        &format!("Invalid rev id: {revision}"),
    )
}

/// `HEAD` and `GET` of a file on the Hub.
pub(crate) fn resolve(
    world: &World,
    site: &Site,
    request: &Request,
    address: &FileAddress,
    ignore_range: bool,
) -> Result<Response, Response> {
    let repository = visible(world, request, address.kind, &address.id)?;
    open(world, request, repository)?;
    let commit = repository
        .resolve(&address.revision)
        .ok_or_else(|| no_revision(&address.revision))?;
    let entry = repository.commits[commit]
        .files
        .get(&address.path)
        .ok_or_else(|| {
            Response::error(404, Some("EntryNotFound"), "Entry not found")
                .with("X-Repo-Commit", commit)
        })?;
    let etag = format!("\"{}\"", entry.etag());
    let name = address.path.rsplit('/').next().unwrap_or_default();
    let mut headers = vec![
        ("X-Repo-Commit", commit.to_owned()),
        ("Accept-Ranges", "bytes".to_owned()),
        (
            "Content-Disposition",
            format!(
                "inline; filename*=UTF-8''{0}; filename=\"{0}\";",
                encoded(name, "")
            ),
        ),
    ];
    if entry.lfs && repository.xet {
        let api = format!("{}/api/{}/{}", site.hub, address.kind.plural(), address.id);
        headers.push(("X-Xet-Hash", entry.content.xet_hash()));
        headers.push((
            "Link",
            format!("<{api}/xet-read-token/{commit}>; rel=\"xet-auth\", <{}/cas>; rel=\"xet-reconstruction-info\"", site.cdn),
        ));
    }
    let location = if entry.lfs {
        Some(signed(site, &address.file(), entry))
    } else if site.options.resolve_cache && !address.cached {
        Some(format!(
            "/api/resolve-cache/{}/{}/{commit}/{}?{}=&etag={}",
            address.kind.plural(),
            encoded(&address.id, "/"),
            encoded(&address.path, ""),
            encoded(&request.path, ""),
            encoded(&etag, "")
        ))
    } else {
        None
    };
    let mut response = match location {
        Some(location) => {
            headers.push(("X-Linked-Size", entry.content.len.to_string()));
            headers.push(("X-Linked-Etag", etag.clone()));
            let status = if entry.lfs { 302 } else { 307 };
            let body = format!("{}. Redirecting to {location}", crate::http::reason(status));
            Response::new(status)
                .with("Location", location)
                .with("Content-Type", "text/plain; charset=utf-8")
                .bytes(body.into_bytes())
        }
        None => contents(request, entry, &etag, ignore_range),
    };
    if !response.headers.iter().any(|(name, _)| name == "ETag") && !entry.lfs {
        headers.push(("ETag", etag));
    }
    for (name, value) in headers {
        response.set(name, &value);
    }
    Ok(response)
}

/// The contents of a file, or the part of them that is asked for.
pub(crate) fn contents(
    request: &Request,
    entry: &Entry,
    etag: &str,
    ignore_range: bool,
) -> Response {
    let len = entry.content.len;
    // A part is only of use to a client that has the same file's other part.
    let same = request.header("if-range").is_none_or(|old| old == etag);
    let asked = request.header("range").filter(|_| same && !ignore_range);
    let file = |start, end| Body::File {
        content: entry.content.clone(),
        start,
        len: end - start,
    };
    let mut response = match range(asked, len) {
        Ok(None) => {
            let mut response = Response::new(200);
            response.body = file(0, len);
            response
        }
        Ok(Some((start, end))) => {
            let mut response = Response::new(206)
                .with("Content-Range", format!("bytes {start}-{}/{len}", end - 1));
            response.body = file(start, end);
            response
        }
        Err(()) => Response::new(416).with("Content-Range", format!("bytes */{len}")),
    };
    response.set("Content-Type", "application/octet-stream");
    response.set("Accept-Ranges", "bytes");
    response.set("ETag", etag);
    response
}

/// The address of a large file on the second host: whoever has it may read the file.
fn signed(site: &Site, file: &str, entry: &Entry) -> String {
    let path = format!("/repos/{}/{}", encoded(file, "/"), entry.content.sha256);
    format!(
        "{}{path}?Expires=1893456000&Policy=eyJ9&Key-Pair-Id=K2FPYV99P2N66Q&Signature={}",
        site.cdn,
        signature(&path)
    )
}

/// What makes the address of a large file open it. (It keeps nothing secret: nothing here is.)
pub(crate) fn signature(path: &str) -> String {
    sha256_of(&format!("the stand-in signs {path}"))
}

/// `HEAD` and `GET` on the second host.
pub(crate) fn storage(world: &World, request: &Request, ignore_range: bool) -> Response {
    let denied = |code: &str, message: &str, status| {
        Response::new(status)
            .with("Content-Type", "application/xml")
            .bytes(
                format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>")
                    .into_bytes(),
            )
    };
    if request.header("authorization").is_some() {
        return denied(
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
            400,
        );
    }
    if request.parameter("Signature").as_deref() != Some(&*signature(&request.path)) {
        return denied("AccessDenied", "Access denied", 403);
    }
    let oid = request.path.rsplit('/').next().unwrap_or_default();
    let entry = world
        .repositories
        .values()
        .flat_map(|repository| repository.commits.values())
        .flat_map(|commit| commit.files.values())
        .find(|entry| entry.content.sha256 == oid);
    match entry {
        // Storage has an MD5, or that of parts: an opaque name that is not the Hub's.
        Some(entry) => contents(
            request,
            entry,
            &format!("\"{}-1\"", &oid[..32]),
            ignore_range,
        ),
        None => denied("NoSuchKey", "The specified key does not exist.", 404),
    }
}

/// The file's name in the path of the second host: for the record, and for faults.
pub(crate) fn stored_file(path: &str) -> Option<String> {
    let (file, _) = path.strip_prefix("/repos/")?.rsplit_once('/')?;
    Some(decoded(file, false))
}

/// The files alone, as a plain file server has them that was laid out like a Hub: no names of contents, no commits in
/// headers, no listings; of the API the one document that says what a revision stands for.
pub(crate) fn plain(world: &World, request: &Request, ignore_range: bool) -> Response {
    let missing = || {
        Response::new(404)
            .with("Content-Type", "text/html")
            .bytes(b"<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1></body></html>\n".to_vec())
    };
    if let Some(document) = revision_document(world, &request.path) {
        return Response::new(200)
            .with("Content-Type", "application/octet-stream")
            .with("ETag", format!("\"69570a80-{:x}\"", document.len()))
            .bytes(document);
    }
    let Some(address) = FileAddress::parse(&request.path).filter(|address| !address.cached) else {
        return missing();
    };
    let entry = world.repository(address.kind, &address.id).and_then(|r| {
        r.commits[r.resolve(&address.revision)?]
            .files
            .get(&address.path)
    });
    match entry {
        Some(entry) => {
            // nginx names a file by its time and its length.
            let etag = format!("\"69570a80-{:x}\"", entry.content.len);
            contents(request, entry, &etag, ignore_range)
                .with("Last-Modified", "Fri, 02 Jan 2026 00:00:00 GMT")
        }
        None => missing(),
    }
}

/// `/api/models/{id}/revision/{revision}`, as somebody saved it.
fn revision_document(world: &World, path: &str) -> Option<Vec<u8>> {
    let (plural, rest) = path.strip_prefix("/api/")?.split_once('/')?;
    let (id, revision) = rest.split_once("/revision/")?;
    let repository = world.repository(Kind::of_plural(plural)?, &decoded(id, false))?;
    let commit = repository.resolve(&decoded(revision, false))?;
    let files = repository.commits[commit].files.keys();
    let siblings: Vec<_> = files.map(|path| json!({ "rfilename": path })).collect();
    let document = json!({"id": repository.id, "sha": commit, "siblings": siblings});
    Some(document.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_files_are_taken_apart() {
        for (path, expected) in [
            ("/org/name/resolve/main/a.txt", Some("org/name@main:a.txt")),
            ("/gpt2/resolve/main/a/b.txt", Some("gpt2@main:a/b.txt")),
            (
                "/datasets/org/name/resolve/refs%2Fpr%2F1/a",
                Some("datasets/org/name@refs/pr/1:a"),
            ),
            (
                "/org/name/resolve/refs/pr/1/a",
                Some("org/name@refs/pr/1:a"),
            ),
            (
                "/api/resolve-cache/models/org/name/abc/a%2Fb",
                Some("org/name@abc:a/b"),
            ),
            ("/org/resolve/resolve/main/a", Some("org@resolve:main/a")),
            ("/org/name/resolve/main", None),
            ("/api/models/org/name", None),
        ] {
            let found = FileAddress::parse(path)
                .map(|a| format!("{}{}@{}:{}", a.kind.prefix(), a.id, a.revision, a.path));
            assert_eq!(found.as_deref(), expected, "{path}");
        }
    }
}
