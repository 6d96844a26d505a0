//! What lies where, with symbolic links and without.

use std::fs;
use std::io::Write;

use hfcore_hub::HubError;
use hfcore_hub::cache::{ETag, IfPresent, ListedFile, Lookup};

use crate::support::*;

const CONFIG: &[u8] = b"{}";
const CONFIG_BLOB: &str = "9e26dfeeb6e641a33dae4961196235bdb965b21b";

#[test]
fn a_download_lies_where_python_puts_it() {
    let weights = vec![7_u8; 1000];
    let weights_blob = sha256(&weights);
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        let found = put(&repo, &commit('a'), "config.json", CONFIG);
        put(&repo, &commit('a'), "onnx/fp16/model.onnx", &weights);
        repo.write_ref(&revision("main"), &commit('a')).unwrap();
        repo.write_ref(&revision("refs/pr/1"), &commit('a'))
            .unwrap();
        repo.write_absent(&commit('a'), &path("onnx/vocab.txt"))
            .unwrap();

        let a = "a".repeat(40);
        let name = "models--org--name";
        let mut expected = vec![
            format!("{name}/.no_exist/{a}/onnx/vocab.txt"),
            format!("{name}/refs/main"),
            format!("{name}/refs/refs/pr/1"),
        ];
        if mode.symlinks {
            expected.extend([
                format!("{name}/blobs/{weights_blob}"),
                format!("{name}/blobs/{CONFIG_BLOB}"),
                format!("{name}/snapshots/{a}/config.json -> ../../blobs/{CONFIG_BLOB}"),
                format!(
                    "{name}/snapshots/{a}/onnx/fp16/model.onnx -> ../../../../blobs/{weights_blob}"
                ),
            ]);
        } else {
            expected.extend([
                format!("{name}/snapshots/{a}/config.json"),
                format!("{name}/snapshots/{a}/onnx/fp16/model.onnx"),
            ]);
        }
        expected.sort();
        assert_eq!(sandbox.tree(), expected, "{mode:?}");
        assert_eq!(fs::read(&found).unwrap(), CONFIG);
        assert_eq!(found, repo.snapshot(&commit('a')).join("config.json"));

        let lookup = |file: &str| repo.lookup(&commit('a'), &path(file)).unwrap();
        assert_eq!(lookup("config.json"), Lookup::Found(found));
        assert_eq!(lookup("onnx/vocab.txt"), Lookup::Absent);
        // A folder, nothing, nothing below a file.
        for nothing in ["onnx", "model.bin", "config.json/x"] {
            assert_eq!(lookup(nothing), Lookup::Unknown, "{nothing}");
        }
        assert_eq!(repo.commits(), [commit('a')]);
        // Of the attempt to make a link nothing is left.
        if mode.symlinks || mode.locks {
            let mut others = tree(&sandbox.path(".locks"));
            others.retain(|file| !file.ends_with(".lock"));
            assert_eq!(others, [""; 0]);
        }
        let tag = fs::read_to_string(sandbox.cache.root().join("CACHEDIR.TAG")).unwrap();
        assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55\n"));
    }
}

#[test]
fn a_second_commit_uses_the_blob_of_the_first() {
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        let etag = git_sha1(CONFIG);
        let (a, b) = (commit('a'), commit('b'));
        assert!(download(&repo, &a, "config.json", CONFIG, &etag).unwrap().1);
        // Without links the first one was moved into the snapshot.
        let again = download(&repo, &b, "x/config.json", CONFIG, &etag).unwrap();
        assert_eq!(again.1, !mode.symlinks, "{mode:?}");
        assert_eq!(fs::read(&again.0).unwrap(), CONFIG);
        assert_eq!(repo.commits(), [a, b]);
    }
}

/// A cache that had links before they were switched off: the blob is copied, since others may link to it.
#[test]
fn a_blob_that_is_there_is_copied_where_links_are_not_wanted() {
    let sandbox = Sandbox::new();
    put(&sandbox.repo(), &commit('a'), "config.json", CONFIG);
    let cache = sandbox.cache.clone().with_symlinks(false);
    let repo = cache.repo(&repo());
    let pointer = repo
        .link(&commit('b'), &path("config.json"), &git_sha1(CONFIG))
        .unwrap();
    assert!(pointer.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read(pointer).unwrap(), CONFIG);
    assert_eq!(
        sandbox
            .tree()
            .iter()
            .filter(|line| line.contains("blobs/"))
            .count(),
        2,
        "the blob and the link to it: {:?}",
        sandbox.tree()
    );
}

#[test]
fn references_are_written_when_they_change() {
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        let main = revision("main");
        assert_eq!(repo.commit_of(&main).unwrap(), None);
        repo.write_ref(&main, &commit('a')).unwrap();
        let file = sandbox.path("models--org--name/refs/main");
        assert_eq!(fs::read_to_string(&file).unwrap(), "a".repeat(40));
        assert_eq!(repo.commit_of(&main).unwrap(), Some(commit('a')));
        age(&file, 5);
        let before = file.metadata().unwrap().modified().unwrap();
        repo.write_ref(&main, &commit('a')).unwrap();
        assert_eq!(file.metadata().unwrap().modified().unwrap(), before);
        repo.write_ref(&main, &commit('b')).unwrap();
        assert_eq!(repo.commit_of(&main).unwrap(), Some(commit('b')));
        // An editor's line end.
        fs::write(&file, format!("{}\n", commit('c'))).unwrap();
        assert_eq!(repo.commit_of(&main).unwrap(), Some(commit('c')));
        // Garbage is replaced.
        fs::write(&file, "garbage").unwrap();
        repo.write_ref(&main, &commit('d')).unwrap();
        assert_eq!(repo.commit_of(&main).unwrap(), Some(commit('d')));

        // A commit stands for itself, and has no reference.
        let whole = commit('e').into();
        repo.write_ref(&whole, &commit('e')).unwrap();
        assert_eq!(repo.commit_of(&whole).unwrap(), Some(commit('e')));
        assert_eq!(sandbox.tree(), ["models--org--name/refs/main"]);
        // `refs/pr` is a folder once `refs/pr/1` is known.
        repo.write_ref(&revision("refs/pr/1"), &commit('a'))
            .unwrap();
        assert_eq!(repo.commit_of(&revision("refs/pr")).unwrap(), None);
        assert_eq!(repo.commit_of(&revision("main/x")).unwrap(), None);
    }
}

#[test]
fn what_is_not_what_was_promised_is_kept_aside() {
    let bytes = vec![1_u8; 300];
    for mode in MODES {
        for etag in [sha256(&bytes), git_sha1(&bytes)] {
            let sandbox = Sandbox::in_mode(mode);
            let repo = sandbox.repo();
            let lock = repo.lock(&etag, &mut |_| {});
            let mut partial = repo.partial(&etag, Some(300), &lock).unwrap();
            partial.write_all(&[2; 300]).unwrap();
            let error = repo
                .publish(partial, &commit('a'), &path("model.bin"), IfPresent::Keep)
                .unwrap_err();
            let HubError::Checksum {
                expected,
                found,
                kept,
                ..
            } = &error
            else {
                panic!("{error}");
            };
            assert!(expected.ends_with(etag.as_str()), "{expected}");
            assert_ne!(expected, found);
            assert_eq!(fs::read(kept).unwrap(), [2; 300]);
            let kept_name = kept.file_name().unwrap().to_str().unwrap();
            assert!(kept_name.ends_with(".corrupt.incomplete"), "{kept_name}");
            assert_eq!(repo.find_blob(&etag, None), None);
            assert_eq!(
                repo.lookup(&commit('a'), &path("model.bin")).unwrap(),
                Lookup::Unknown
            );
            // It is not taken up again.
            let partial = repo.partial(&etag, Some(300), &lock).unwrap();
            assert_eq!(partial.resume_from(), 0);
            drop((partial, lock));
            put(&repo, &commit('a'), "model.bin", &bytes);
        }
    }
}

#[test]
fn the_message_says_where_the_damaged_bytes_are() {
    let sandbox = Sandbox::new();
    let etag = git_sha1(b"right");
    let repo = sandbox.repo();
    let mut partial = repo
        .partial(&etag, Some(5), &repo.lock(&etag, &mut |_| {}))
        .unwrap();
    partial.write_all(b"wrong").unwrap();
    let error = repo
        .publish(partial, &commit('a'), &path("a.txt"), IfPresent::Keep)
        .unwrap_err();
    let text = message(&sandbox, &error);
    let (before, after) = text
        .split_once(&format!("CACHE/models--org--name/blobs/{etag}."))
        .unwrap();
    assert_eq!(
        before,
        format!(
            "a.txt of org/name is damaged: expected git-sha1 {etag}, found git-sha1 {}; the bytes that came are kept aside at ",
            git_sha1(b"wrong")
        )
    );
    assert!(
        after.ends_with(".corrupt.incomplete, the next download begins anew"),
        "{after}"
    );
}

#[test]
fn the_size_counts_too() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    // A mirror's etag, of which only the size can be checked.
    let etag = ETag::parse("\"5d8c-61f2\"").unwrap();
    let lock = repo.lock(&etag, &mut |_| {});
    let mut partial = repo.partial(&etag, Some(4), &lock).unwrap();
    partial.write_all(b"abc").unwrap();
    let error = partial.write_all(b"de").unwrap_err();
    assert_eq!(
        error.to_string(),
        "more than the 4 bytes that were promised"
    );
    let error = repo
        .publish(partial, &commit('a'), &path("a"), IfPresent::Keep)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected 4 bytes, found 3 bytes"),
        "{error}"
    );
    let mut partial = repo.partial(&etag, None, &lock).unwrap();
    partial.write_all(b"abcdef").unwrap();
    let pointer = repo
        .publish(partial, &commit('a'), &path("a"), IfPresent::Keep)
        .unwrap();
    assert_eq!(fs::read(pointer).unwrap(), b"abcdef");
}

/// A server that gives no etag: the contents name themselves.
#[test]
fn contents_without_a_name_are_named_by_their_hash() {
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        let stand_in = ETag::parse("unnamed").unwrap();
        let lock = repo.lock(&stand_in, &mut |_| {});
        let mut partial = repo.partial(&stand_in, None, &lock).unwrap();
        partial.write_all(b"abc").unwrap();
        drop(partial);
        assert_eq!(sandbox.tree(), [""; 0], "nobody could tell what it begins");
        let mut partial = repo.partial(&stand_in, None, &lock).unwrap();
        partial.write_all(b"abc").unwrap();
        assert_eq!(partial.name_by_hash().unwrap(), sha256(b"abc"));
        let pointer = repo
            .publish(partial, &commit('a'), &path("a"), IfPresent::Keep)
            .unwrap();
        assert_eq!(fs::read(pointer).unwrap(), b"abc");
        assert_eq!(
            repo.find_blob(&sha256(b"abc"), Some(3)).is_some(),
            mode.symlinks
        );
    }
}

#[test]
fn gits_hash_needs_the_length_and_waits_for_it() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let etag = git_sha1(CONFIG);
    let lock = repo.lock(&etag, &mut |_| {});
    for (bytes, right) in [(&b"[]"[..], false), (CONFIG, true)] {
        let mut partial = repo.partial(&etag, None, &lock).unwrap();
        partial.write_all(bytes).unwrap();
        let published = repo.publish(partial, &commit('a'), &path("a"), IfPresent::Keep);
        assert_eq!(published.is_ok(), right);
    }
}

#[cfg(unix)]
#[test]
fn a_blob_is_never_written_to_again() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let etag = git_sha1(CONFIG);
    put(&repo, &commit('a'), "config.json", CONFIG);
    let blob = repo.find_blob(&etag, Some(2)).unwrap();
    let before = inode(&blob);
    let publish = |if_present| {
        let lock = repo.lock(&etag, &mut |_| {});
        let mut partial = repo.partial(&etag, Some(2), &lock).unwrap();
        partial.write_all(CONFIG).unwrap();
        repo.publish(partial, &commit('b'), &path("config.json"), if_present)
            .unwrap();
    };
    publish(IfPresent::Keep);
    assert_eq!(inode(&blob), before, "the one that was faster stays");
    publish(IfPresent::Replace);
    assert_ne!(inode(&blob), before, "the name now means another file");
    assert!(
        !sandbox
            .tree()
            .iter()
            .any(|line| line.contains("incomplete"))
    );
}

/// What a crash, or a program that does not flush its files, leaves: a blob that is too short.
#[test]
fn a_blob_of_another_length_is_none() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let etag = git_sha1(CONFIG);
    let blob = sandbox.path(&format!("models--org--name/blobs/{etag}"));
    write(&blob, b"{");
    assert_eq!(repo.find_blob(&etag, Some(2)), None);
    let pointer = put(&repo, &commit('a'), "config.json", CONFIG);
    assert_eq!(fs::read(pointer).unwrap(), CONFIG);
    assert_eq!(fs::read(blob).unwrap(), CONFIG);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_blob_that_is_gone_is_mended() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let pointer = put(&repo, &commit('a'), "config.json", CONFIG);
    fs::remove_file(repo.find_blob(&git_sha1(CONFIG), None).unwrap()).unwrap();
    let lookup = || repo.lookup(&commit('a'), &path("config.json")).unwrap();
    assert_eq!(lookup(), Lookup::Unknown);
    // The file moved to another blob meanwhile.
    fs::remove_file(&pointer).unwrap();
    symlink("../../blobs/5d8c-61f2", &pointer);
    put(&repo, &commit('a'), "config.json", CONFIG);
    assert_eq!(lookup(), Lookup::Found(pointer.clone()));
    assert_eq!(fs::read(pointer).unwrap(), CONFIG);
    assert_eq!(sandbox.tree().len(), 2, "{:?}", sandbox.tree());
}

#[test]
fn the_longest_names_fit() {
    for mode in MODES {
        let sandbox = Sandbox::in_mode(mode);
        let repo = sandbox.repo();
        let name = "n".repeat(255);
        let etag = ETag::parse(&"e".repeat(128)).unwrap();
        let (pointer, _) = download(&repo, &commit('a'), &name, b"1", &etag).unwrap();
        assert_eq!(fs::read(pointer).unwrap(), b"1");
    }
}

/// Where something cannot be written, what is there can still be read, and the error says what could not be.
#[test]
fn a_cache_that_cannot_be_written_to_can_be_read() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    put(&repo, &commit('a'), "config.json", CONFIG);
    let folder = sandbox.cache.root().join("models--org--name");
    // Files where folders would have to be: they stop the superuser too.
    for name in ["refs", "trees", ".no_exist"] {
        fs::write(folder.join(name), b"").unwrap();
    }
    fs::remove_dir_all(sandbox.cache.root().join(".locks")).unwrap();
    fs::write(sandbox.cache.root().join(".locks"), b"").unwrap();
    let config = path("config.json");
    assert!(matches!(
        repo.lookup(&commit('a'), &config),
        Ok(Lookup::Found(_))
    ));
    assert_eq!(repo.commit_of(&revision("main")).unwrap(), None);
    assert_eq!(repo.read_listing(&commit('a')), None);
    let error = repo.write_ref(&revision("main"), &commit('a')).unwrap_err();
    assert_eq!(
        message(&sandbox, &error),
        "CACHE/models--org--name/refs could not be made"
    );
    assert!(repo.write_absent(&commit('a'), &path("x")).is_err());
    // No lock can be had; downloads go on without.
    let etag = git_sha1(b"new");
    assert!(!repo.lock(&etag, &mut |_| {}).is_held());
    put(&repo, &commit('a'), "new", b"new");
    // A folder where the file would have to be.
    fs::create_dir_all(repo.snapshot(&commit('a')).join("folder/x")).unwrap();
    let error = repo.link(&commit('a'), &path("folder"), &etag).unwrap_err();
    assert!(matches!(error, HubError::CacheDamaged { .. }), "{error}");
}

#[test]
fn a_listing_is_kept() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repo();
    let files = [
        (
            path("config.json"),
            ListedFile::new(2, CONFIG_BLOB.to_owned()),
        ),
        (
            path("a/model.bin"),
            ListedFile::new(130, "0".repeat(40))
                .with_lfs("1".repeat(64), 7)
                .with_xet_hash("2".repeat(64)),
        ),
    ]
    .into_iter()
    .collect();
    repo.write_listing(&commit('a'), &files).unwrap();
    assert_eq!(repo.read_listing(&commit('a')).unwrap(), files);
    assert_eq!(
        sandbox.tree(),
        [format!("models--org--name/trees/{}.json", commit('a'))]
    );
    assert_eq!(repo.read_listing(&commit('b')), None);
    let file = sandbox.path(&sandbox.tree()[0]);
    for bad in [
        "",
        "[]",
        "{\"format_version\": 2, \"files\": {}}",
        "{\"format_version\": 1, \"files\": {\"../x\": {\"size\": 1, \"blob_id\": \"1\"}}}",
        "{\"format_version\": 1, \"files\": {\"x\": {\"size\": -1, \"blob_id\": \"1\"}}}",
        "{\"format_version\": 1, \"files\": {\"x\": {\"size\": 1, \"blob_id\": \"1\", \"xet_hash\": \"../1\"}}}",
    ] {
        fs::write(&file, bad).unwrap();
        assert_eq!(repo.read_listing(&commit('a')), None, "{bad}");
    }
}
