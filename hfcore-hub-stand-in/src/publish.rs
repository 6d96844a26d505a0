//! Writing: repositories, commits, and large files by LFS, in one piece or in parts.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::api::page_of;
use crate::content::{Content, from_base64, sha1_of, sha256_of};
use crate::files::{account, no_revision, signature, visible};
use crate::http::{Request, Response, encoded};
use crate::server::Site;
use crate::world::{Account, Entry, Gated, Kind, Multipart, Repository, Role, World, is_large};

/// The account that may write to a namespace, or why it may not.
fn writer<'w>(
    world: &'w World,
    request: &Request,
    namespace: Option<&str>,
) -> Result<&'w Account, Response> {
    let account = account(world, request)?
        .ok_or_else(|| Response::error(401, None, "Invalid username or password."))?;
    if account.role != Role::Write {
        return Err(Response::error(
            403,
            None,
            "You must use a write token to upload to a repository, or to change it.",
        ));
    }
    match namespace {
        Some(namespace) if !account.is_of(namespace) => Err(Response::error(
            403,
            None,
            &format!(
                "You don't have the rights to create or change something under the namespace \"{namespace}\""
            ),
        )),
        _ => Ok(account),
    }
}

fn bad(message: &str) -> Response {
    Response::error(400, None, message)
}

fn body(request: &Request) -> Result<Value, Response> {
    request.json().ok_or_else(|| bad("the body is no JSON"))
}

/// The kind and the id that `create` and `delete` speak of.
fn named(account: &Account, body: &Value) -> Result<(Kind, String), Response> {
    let name = body["name"]
        .as_str()
        .ok_or_else(|| bad("\"name\" is required"))?;
    let kind = body["type"].as_str().unwrap_or("model");
    let kind = Kind::of_name(kind)
        .ok_or_else(|| bad("\"type\" must be model, dataset, space or kernel"))?;
    let id = match (name.contains('/'), body["organization"].as_str()) {
        (true, _) => name.to_owned(),
        (false, organization) => format!("{}/{name}", organization.unwrap_or(&account.name)),
    };
    Ok((kind, id))
}

pub(crate) fn create(
    world: &mut World,
    site: &Site,
    request: &Request,
) -> Result<Response, Response> {
    let body = body(request)?;
    let account = writer(world, request, None)?.clone();
    let (kind, id) = named(&account, &body)?;
    writer(world, request, id.split('/').next())?;
    let url = page_of(site, kind, &id);
    if world.repository(kind, &id).is_some() {
        let message = format!("You already created this {} repo", kind.name());
        return Err(
            Response::json(409, &json!({"error": message, "url": url, "id": id}))
                .with("X-Error-Message", message),
        );
    }
    if id.contains("..") || id.ends_with(".git") {
        return Err(bad(
            "the name of a repository cannot have \"..\" in it, or end in \".git\"",
        ));
    }
    let mut repository = Repository::new(kind, &id);
    repository.private = body["visibility"] == "private" || body["private"] == true;
    world.repositories.insert((kind, id.clone()), repository);
    let attributes: String = ["safetensors", "bin", "gguf", "pt", "onnx"]
        .iter()
        .map(|extension| format!("*.{extension} filter=lfs diff=lfs merge=lfs -text\n"))
        .collect();
    let entry = Entry {
        content: Arc::new(Content::new(attributes.into_bytes())),
        lfs: false,
    };
    let files = [(".gitattributes".to_owned(), entry)].into();
    world.add_commit(
        kind,
        &id,
        "main",
        None,
        "initial commit",
        &account.name,
        files,
    );
    Ok(Response::json(
        200,
        &json!({"url": url, "name": id, "id": id}),
    ))
}

pub(crate) fn delete(world: &mut World, request: &Request) -> Result<Response, Response> {
    let body = body(request)?;
    let account = writer(world, request, None)?;
    let (kind, id) = named(account, &body)?;
    writer(world, request, id.split('/').next())?;
    visible(world, request, kind, &id)?;
    world.repositories.remove(&(kind, id));
    Ok(Response::json(200, &json!({})))
}

pub(crate) fn rename(world: &mut World, request: &Request) -> Result<Response, Response> {
    let body = body(request)?;
    let (Some(from), Some(to)) = (body["fromRepo"].as_str(), body["toRepo"].as_str()) else {
        return Err(bad("\"fromRepo\" and \"toRepo\" are required"));
    };
    let kind = Kind::of_name(body["type"].as_str().unwrap_or("model"))
        .ok_or_else(|| bad("no such type"))?;
    writer(world, request, from.split('/').next())?;
    writer(world, request, to.split('/').next())?;
    visible(world, request, kind, from)?;
    world.rename(&format!("{}/{from}", kind.plural()), to);
    Ok(Response::json(200, &json!({})))
}

pub(crate) fn settings(
    world: &mut World,
    request: &Request,
    kind: Kind,
    id: &str,
) -> Result<Response, Response> {
    let body = body(request)?;
    writer(world, request, id.split('/').next())?;
    visible(world, request, kind, id)?;
    let repository = world.repository_mut(kind, id).expect("it was just seen");
    match body["visibility"].as_str() {
        Some(visibility) => repository.private = visibility == "private",
        None => repository.private = body["private"].as_bool().unwrap_or(repository.private),
    }
    match &body["gated"] {
        Value::Bool(false) => repository.gated = Gated::No,
        Value::String(how) if how == "auto" => repository.gated = Gated::Auto,
        Value::String(_) => repository.gated = Gated::Manual,
        _ => {}
    }
    Ok(Response::json(200, &json!({"private": repository.private})))
}

pub(crate) fn branch(
    world: &mut World,
    request: &Request,
    kind: Kind,
    id: &str,
    name: &str,
) -> Result<Response, Response> {
    writer(world, request, id.split('/').next())?;
    let from = request
        .json()
        .and_then(|b| b["startingPoint"].as_str().map(str::to_owned));
    let repository = visible(world, request, kind, id)?;
    if repository.branches.contains_key(name) {
        return Err(Response::error(
            409,
            None,
            &format!("Reference already exists: refs/heads/{name}"),
        ));
    }
    let from = from.unwrap_or_else(|| "main".to_owned());
    let commit = repository
        .resolve(&from)
        .ok_or_else(|| no_revision(&from))?
        .to_owned();
    let repository = world.repository_mut(kind, id).expect("it was just seen");
    repository.branches.insert(name.to_owned(), commit);
    Ok(Response::json(200, &json!({})))
}

pub(crate) fn tag(
    world: &mut World,
    request: &Request,
    kind: Kind,
    id: &str,
    revision: &str,
) -> Result<Response, Response> {
    writer(world, request, id.split('/').next())?;
    let body = body(request)?;
    let name = body["tag"]
        .as_str()
        .ok_or_else(|| bad("\"tag\" is required"))?;
    let repository = visible(world, request, kind, id)?;
    if repository.tags.contains_key(name) {
        return Err(Response::error(
            409,
            None,
            &format!("Tag already exists: {name}"),
        ));
    }
    let commit = repository
        .resolve(revision)
        .ok_or_else(|| no_revision(revision))?
        .to_owned();
    let repository = world.repository_mut(kind, id).expect("it was just seen");
    repository.tags.insert(name.to_owned(), commit);
    Ok(Response::json(200, &json!({})))
}

/// Says for each file whether it goes into the commit or to LFS.
pub(crate) fn preupload(
    world: &World,
    site: &Site,
    request: &Request,
    kind: Kind,
    id: &str,
    revision: &str,
) -> Result<Response, Response> {
    let may = if request.parameter("create_pr").is_some() {
        None
    } else {
        id.split('/').next()
    };
    let repository = visible(world, request, kind, id)?;
    writer(world, request, may)?;
    let commit = repository
        .resolve(revision)
        .ok_or_else(|| no_revision(revision))?;
    let body = body(request)?;
    let files = body["files"]
        .as_array()
        .ok_or_else(|| bad("\"files\" is required"))?;
    if files.len() > 256 {
        return Err(bad("at most 256 files at a time"));
    }
    let ignored = body["gitIgnore"].as_str().unwrap_or_default();
    let answers: Result<Vec<Value>, Response> = files
        .iter()
        .map(|file| {
            let (Some(path), Some(size), Some(sample)) = (
                file["path"].as_str(),
                file["size"].as_u64(),
                file["sample"].as_str().and_then(from_base64),
            ) else {
                return Err(bad("a file needs \"path\", \"size\" and \"sample\" in base64"));
            };
            let large = is_large(path) || size > site.options.lfs_threshold || sample.contains(&0);
            let old = repository.commits[commit].files.get(path);
            Ok(json!({
                "path": path,
                "uploadMode": if large { "lfs" } else { "regular" },
                "shouldIgnore": ignored.lines().any(|line| line == path),
                "oid": old.map(|entry| if entry.lfs { entry.content.sha256.clone() } else { entry.oid() }),
            }))
        })
        .collect();
    Ok(Response::json(
        200,
        &json!({"files": answers?, "commitOid": commit}),
    ))
}

/// `{id}.git/info/lfs/objects/…`.
pub(crate) fn git(
    world: &mut World,
    site: &Site,
    request: &Request,
    id: &[&str],
    rest: &[&str],
) -> Result<Response, Response> {
    let id = id.join("/");
    let id = id.strip_suffix(".git").unwrap_or(&id);
    let (kind, id) = crate::world::kind_of(id);
    visible(world, request, kind, id)?;
    match (&*request.method, rest) {
        ("POST", ["info", "lfs", "objects", "batch"]) => batch(world, site, request, kind, id),
        ("POST", ["info", "lfs", "objects", "verify"]) => {
            let body = body(request)?;
            let there = body["oid"]
                .as_str()
                .and_then(|oid| world.objects.get(oid))
                .is_some_and(|object| body["size"] == object.len);
            if there {
                Ok(Response::json(200, &json!({})))
            } else {
                Err(Response::error(
                    404,
                    None,
                    "The object was not uploaded, or has another size",
                ))
            }
        }
        _ => Err(Response::error(404, None, "Not found")),
    }
}

/// Says where to put each large file, or that it is there already.
fn batch(
    world: &mut World,
    site: &Site,
    request: &Request,
    kind: Kind,
    id: &str,
) -> Result<Response, Response> {
    // Whoever may read may propose: a pull request's files go the same way.
    writer(world, request, None)?;
    let accept = request.header("accept").unwrap_or_default();
    if !accept.contains("application/vnd.git-lfs+json") {
        return Err(Response::error(
            406,
            None,
            "Accept must be application/vnd.git-lfs+json",
        ));
    }
    let body = body(request)?;
    let objects = body["objects"]
        .as_array()
        .ok_or_else(|| bad("\"objects\" is required"))?
        .clone();
    if body["operation"] != "upload" || objects.len() > 1000 {
        return Err(bad("\"operation\" must be upload, of at most 1000 objects"));
    }
    let parts = body["transfers"]
        .as_array()
        .is_some_and(|t| t.iter().any(|t| t == "multipart"));
    let mut multipart = false;
    let mut answers = Vec::new();
    for object in &objects {
        let (Some(oid), Some(size)) = (object["oid"].as_str(), object["size"].as_u64()) else {
            return Err(bad("an object needs \"oid\" and \"size\""));
        };
        if oid.len() != 64 || !oid.bytes().all(|b| b.is_ascii_hexdigit()) {
            answers.push(json!({"oid": oid, "size": size, "error": {"code": 422, "message": "the oid is no SHA-256"}}));
            continue;
        }
        if world.objects.contains_key(oid) {
            answers.push(json!({"oid": oid, "size": size}));
            continue;
        }
        let verify = format!("{}.git/info/lfs/objects/verify", page_of(site, kind, id));
        let part_size = site.options.part_size;
        let upload = if parts && size > part_size {
            multipart = true;
            let upload = sha256_of(&format!("upload {oid} {}", world.uploads.len()));
            world.uploads.insert(
                upload.clone(),
                Multipart {
                    oid: oid.to_owned(),
                    size,
                    ..Multipart::default()
                },
            );
            let mut header = Map::new();
            header.insert("chunk_size".to_owned(), json!(part_size.to_string()));
            for part in 1..=size.div_ceil(part_size) {
                let path = format!("/upload/{oid}/{upload}/{part}");
                header.insert(format!("{part:05}"), json!(address(site, &path)));
            }
            json!({"href": format!("{}/api/complete_multipart?uploadId={upload}", site.hub), "header": header})
        } else {
            json!({"href": address(site, &format!("/upload/{oid}"))})
        };
        answers.push(json!({
            "oid": oid,
            "size": size,
            "authenticated": true,
            "actions": {"upload": upload, "verify": {"href": verify, "header": {}}},
        }));
    }
    let transfer = if multipart { "multipart" } else { "basic" };
    Ok(Response::json(
        200,
        &json!({"transfer": transfer, "objects": answers, "hash_algo": "sha256"}),
    )
    .with("Content-Type", "application/vnd.git-lfs+json"))
}

fn address(site: &Site, path: &str) -> String {
    format!(
        "{}{path}?X-Amz-Expires=86400&X-Amz-Signature={}",
        site.cdn,
        signature(path)
    )
}

/// `PUT` on the second host: a large file, or a part of one.
pub(crate) fn store(world: &mut World, request: &Request) -> Response {
    let denied = |status, message: &str| {
        Response::new(status)
            .with("Content-Type", "application/xml")
            .bytes(format!("<Error><Message>{message}</Message></Error>").into_bytes())
    };
    if request.header("authorization").is_some() {
        return denied(400, "Only one auth mechanism allowed");
    }
    if request.parameter("X-Amz-Signature").as_deref() != Some(&*signature(&request.path)) {
        return denied(403, "SignatureDoesNotMatch");
    }
    if request.header("content-length").is_none() {
        return denied(411, "MissingContentLength");
    }
    let etag = format!(
        "\"{}\"",
        &sha256_of(&sha1_of(&String::from_utf8_lossy(&request.body)))[..32]
    );
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    match parts[..] {
        ["upload", oid] => {
            let content = Content::new(request.body.clone());
            if content.sha256 != oid {
                return denied(400, "XAmzContentSHA256Mismatch");
            }
            world.objects.insert(oid.to_owned(), Arc::new(content));
        }
        ["upload", _, upload, part] => {
            let (Some(upload), Ok(part)) = (world.uploads.get_mut(upload), part.parse()) else {
                return denied(404, "NoSuchUpload");
            };
            upload.parts.insert(part, request.body.clone());
        }
        _ => return denied(404, "NoSuchKey"),
    }
    Response::new(200).with("ETag", etag)
}

/// The end of an upload in parts: the parts are put together.
pub(crate) fn complete(world: &mut World, request: &Request) -> Result<Response, Response> {
    let body = body(request)?;
    let id = request.parameter("uploadId").unwrap_or_default();
    let upload = world
        .uploads
        .get(&id)
        .ok_or_else(|| Response::error(404, None, "no such upload"))?;
    let listed = body["parts"]
        .as_array()
        .ok_or_else(|| bad("\"parts\" is required"))?;
    let in_order = listed
        .iter()
        .zip(&upload.parts)
        .all(|(part, (number, bytes))| {
            let etag = &sha256_of(&sha1_of(&String::from_utf8_lossy(bytes)))[..32];
            part["partNumber"] == *number
                && part["etag"]
                    .as_str()
                    .is_some_and(|given| given.trim_matches('"') == etag)
        });
    if listed.len() != upload.parts.len() || !in_order {
        return Err(bad("the parts are not those that were uploaded"));
    }
    let content = Content::new(upload.parts.values().flatten().copied().collect());
    if content.len != upload.size || content.sha256 != upload.oid || body["oid"] != *upload.oid {
        return Err(bad("the parts do not make up the object"));
    }
    world.uploads.remove(&id);
    world
        .objects
        .insert(content.sha256.clone(), Arc::new(content));
    Ok(Response::json(200, &json!({})))
}

/// A commit, in lines of JSON.
pub(crate) fn commit(
    world: &mut World,
    site: &Site,
    request: &Request,
    kind: Kind,
    id: &str,
    revision: &str,
) -> Result<Response, Response> {
    let pull_request = request
        .parameter("create_pr")
        .is_some_and(|value| value == "1" || value == "true");
    let repository = visible(world, request, kind, id)?;
    let author = writer(
        world,
        request,
        if pull_request {
            None
        } else {
            id.split('/').next()
        },
    )?
    .name
    .clone();
    let parent = repository
        .resolve(revision)
        .ok_or_else(|| no_revision(revision))?
        .to_owned();
    if !pull_request
        && !repository.branches.contains_key(revision)
        && !repository.refs.contains_key(revision)
    {
        return Err(bad(&format!("{revision} is no branch")));
    }
    let mut files = repository.commits[&parent].files.clone();
    let mut header = None;
    for line in request
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: Value = serde_json::from_slice(line).map_err(|_| bad("a line is no JSON"))?;
        let (key, value) = (line["key"].as_str().unwrap_or_default(), &line["value"]);
        if key == "header" {
            header = Some(value.clone());
            continue;
        }
        let path = value["path"]
            .as_str()
            .filter(|path| !path.is_empty())
            .ok_or_else(|| bad("\"path\" is required"))?;
        if path.starts_with('/')
            || path
                .split('/')
                .any(|part| matches!(part, "" | "." | ".." | ".git"))
        {
            return Err(bad(&format!("Invalid path: {path}")));
        }
        match key {
            "file" => {
                let bytes = match value["encoding"].as_str() {
                    Some("base64") => value["content"].as_str().and_then(from_base64),
                    _ => value["content"]
                        .as_str()
                        .map(|text| text.as_bytes().to_vec()),
                };
                let bytes = bytes.ok_or_else(|| bad("\"content\" is required"))?;
                if is_large(path) && !bytes.is_empty()
                    || bytes.len() as u64 > site.options.lfs_threshold
                {
                    return Err(bad(&format!(
                        "Your push was rejected because {path} must be stored with LFS."
                    )));
                }
                let content = Arc::new(Content::new(bytes));
                files.insert(
                    path.to_owned(),
                    Entry {
                        content,
                        lfs: false,
                    },
                );
            }
            "lfsFile" => {
                let oid = value["oid"].as_str().unwrap_or_default();
                let content = world.objects.get(oid).cloned().or_else(|| {
                    let files = repository
                        .commits
                        .values()
                        .flat_map(|commit| commit.files.values());
                    files
                        .map(|entry| &entry.content)
                        .find(|content| content.sha256 == oid)
                        .cloned()
                });
                let content = content.ok_or_else(|| {
                    bad(&format!(
                        "LFS pointer pointed to a file that does not exist: {path}"
                    ))
                })?;
                if value["algo"] != "sha256"
                    || value["size"]
                        .as_u64()
                        .is_some_and(|size| size != content.len)
                {
                    return Err(bad(
                        "\"algo\" must be sha256, and \"size\" that of the object",
                    ));
                }
                files.insert(path.to_owned(), Entry { content, lfs: true });
            }
            "deletedFile" => {
                files.remove(path).ok_or_else(|| {
                    bad(&format!("A file with the name \"{path}\" does not exist"))
                })?;
            }
            "deletedFolder" => {
                let inside = format!("{}/", path.trim_end_matches('/'));
                files.retain(|file, _| !file.starts_with(&inside));
            }
            _ => return Err(bad(&format!("unknown operation: {key}"))),
        }
    }
    let header = header.ok_or_else(|| bad("the header is missing"))?;
    let summary = header["summary"]
        .as_str()
        .filter(|s| !s.is_empty())
        .ok_or_else(|| bad("\"summary\" is required"))?;
    if header["parentCommit"]
        .as_str()
        .is_some_and(|expected| !parent.starts_with(expected))
    {
        return Err(Response::error(
            412,
            None,
            "A commit has happened since. Please refresh and try again.",
        ));
    }
    let title = match header["description"].as_str() {
        Some(description) if !description.is_empty() => format!("{summary}\n{description}"),
        _ => summary.to_owned(),
    };
    let number = repository.pull_requests + 1;
    let reference = if pull_request {
        format!("refs/pr/{number}")
    } else {
        revision.to_owned()
    };
    let name = world.add_commit(kind, id, &reference, Some(parent), &title, &author, files);
    let page = page_of(site, kind, id);
    let mut answer = json!({
        "success": true,
        "commitOid": name,
        "commitUrl": format!("{page}/commit/{}", if pull_request { encoded(&reference, "") } else { name.clone() }),
        "hookOutput": "",
    });
    if pull_request {
        let repository = world.repository_mut(kind, id).expect("it was just seen");
        repository.pull_requests = number;
        answer["pullRequestUrl"] = json!(format!("{page}/discussions/{number}"));
    }
    Ok(Response::json(200, &answer))
}
