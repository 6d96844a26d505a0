//! A real handshake: with a certificate that `SSL_CERT_FILE` vouches for, and without. The server is Python's, and the
//! certificate is made by `openssl`: where one of them is missing the tests say so and are skipped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{client, model, path, temporary};
use hfcore_hub::{Commit, DownloadOptions, HubError, Revision, Token};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

struct Server {
    child: Child,
    port: u16,
    authority: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority and a certificate of it for `localhost`.
fn certificates(folder: &Path) -> bool {
    let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
    fs::write(folder.join("extensions"), extensions).unwrap();
    let openssl = |arguments: &[&str]| {
        let status = Command::new("openssl")
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let authority = [
        &[
            "req",
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=Test Authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ][..],
        &key,
    ];
    let request = [
        &[
            "req",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ][..],
        &key,
    ];
    openssl(&authority.concat())
        && openssl(&request.concat())
        && openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            "extensions",
            "-out",
            "server.pem",
        ])
}

/// Python's file server over TLS of this version (`TLSv1_2`, `TLSv1_3`); `/away` redirects to http.
fn serve(folder: &Path, version: &str) -> Option<Server> {
    let site = folder.join(format!("org/name/resolve/{COMMIT}"));
    fs::create_dir_all(&site).unwrap();
    fs::write(site.join("a.txt"), "hello\n").unwrap();
    if !certificates(folder) {
        eprintln!("SKIPPED: there is no openssl to make certificates with");
        return None;
    }
    let script = "import http.server, os, ssl, sys\n\
        os.chdir(sys.argv[1])\n\
        class Handler(http.server.SimpleHTTPRequestHandler):\n\
        \x20   def do_GET(self):\n\
        \x20       if self.path.endswith('away.txt'):\n\
        \x20           self.send_response(302)\n\
        \x20           self.send_header('Location', 'http://127.0.0.1:9/away')\n\
        \x20           self.send_header('Content-Length', '0')\n\
        \x20           self.end_headers()\n\
        \x20       else:\n\
        \x20           super().do_GET()\n\
        \x20   do_HEAD = do_GET\n\
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
        context.minimum_version = context.maximum_version = ssl.TLSVersion[sys.argv[2]]\n\
        context.load_cert_chain('server.pem', 'server.key')\n\
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)\n\
        server.socket = context.wrap_socket(server.socket, server_side=True)\n\
        print(server.server_address[1], flush=True)\n\
        server.serve_forever()\n";
    let child = Command::new("python3")
        .args(["-c", script])
        .arg(folder)
        .arg(version)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: there is no python3 to speak TLS with");
        return None;
    };
    let mut line = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    Some(Server {
        child,
        port: line.trim().parse().unwrap(),
        authority: folder.join("ca.pem"),
    })
}

fn fetch(builder: hfcore_hub::HubBuilder, file: &str) -> Result<String, HubError> {
    let hub = builder.build()?;
    let revision = Revision::from(Commit::parse(COMMIT).unwrap());
    let options = DownloadOptions::default();
    let found = hub.download(&model(), &revision, &path(file), &options)?;
    Ok(fs::read_to_string(found.path).unwrap())
}

#[test]
fn an_authority_of_ones_own_is_trusted_and_others_are_not() {
    for version in ["TLSv1_3", "TLSv1_2"] {
        let folder = temporary();
        let Some(server) = serve(folder.path(), version) else {
            return;
        };
        let hub = |host: &str| client(&format!("https://{host}:{}", server.port), folder.path());
        for host in ["localhost", "127.0.0.1"] {
            let trusting = hub(host)
                .ca_bundle(&server.authority)
                .cache(folder.path().join(host));
            assert_eq!(
                fetch(trusting, "a.txt").unwrap(),
                "hello\n",
                "{version} {host}"
            );
        }
        let error = fetch(hub("localhost"), "a.txt").unwrap_err();
        let HubError::Tls { why } = &error else {
            panic!("{}", error.chain());
        };
        assert!(why.contains("SSL_CERT_FILE"), "{why}");
        assert!(why.contains("UnknownIssuer"), "{why}");
    }
}

#[test]
fn nothing_leads_from_https_to_http() {
    let folder = temporary();
    let Some(server) = serve(folder.path(), "TLSv1_3") else {
        return;
    };
    let hub = client(&format!("https://localhost:{}", server.port), folder.path())
        .ca_bundle(&server.authority)
        .token(Token::parse("hf_canary").unwrap());
    let error = fetch(hub, "away.txt").unwrap_err();
    assert!(
        matches!(error, HubError::Redirect { .. }),
        "{}",
        error.chain()
    );
    assert!(
        error.to_string().ends_with("it leads from https to http"),
        "{error}"
    );
}
