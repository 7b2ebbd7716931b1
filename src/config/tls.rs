//! TLS of a listener and of a pool's upstreams: their tables in, which files and which rules out.
//!
//! What is in the files is read by the rim, and is in [`Config::certificates`](super::Config).

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::acme::{self, ACME, Acme};
use super::key::{Key, Kind, Shape, Table, Without, boolean, free, table, text_option, word};
use super::section::{Section, wrong_kind};
use super::values::path;
use super::{Problem, Problems, duration};

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one, unless some are ordered; no more than one is the default.
    pub certificates: Vec<CertificateFiles>,
    /// Where certificates are ordered for names that those do not cover; none if they are not.
    pub acme: Option<Acme>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whose certificates clients are asked for, unless the name that they ask for says otherwise.
    pub client: Option<ClientCertificates>,
    /// What browsers are told of HTTPS; none for nothing.
    pub hsts: Option<Hsts>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and its chain (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// Whether it is for clients that ask for no name or for an unknown one.
    pub is_default: bool,
    /// Whose certificates clients are asked for under its names; none for what the listener says.
    pub client: Option<ClientCertificates>,
}

/// What clients have to show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientCertificates {
    /// The authorities that sign them (PEM).
    pub ca: PathBuf,
    /// Whether there is no connection without one.
    pub is_required: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2, the oldest that is safe.
    #[default]
    V1_2,
    /// 1.3.
    V1_3,
}

/// How long browsers ask by HTTPS alone, once they were told (RFC 6797).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// From each answer on.
    pub max_age: Duration,
    /// Whether the same goes for all hosts below.
    pub include_subdomains: bool,
}

pub(super) static TLS: Table = Table::new(
    "",
    &[
        Key::of("certificates", Kind::Tables(&CERTIFICATE)),
        table("acme", &ACME, Without::Off),
        word("min_version", &["1.2", "1.3"]),
        table("client", &CLIENT, Without::Off),
        table("hsts", &HSTS, Without::Off),
    ],
);

/// TLS of the admin address.
pub(super) static ADMIN_TLS: Table = Table::new(
    "",
    &[
        Key::of("certificates", Kind::Tables(&CERTIFICATE)),
        word("min_version", &["1.2", "1.3"]),
        table("client", &CLIENT, Without::Off),
    ],
);

/// What the reference shows of it.
pub(super) const ADMIN_TLS_LINES: &str = r#"# The admin API by HTTPS alone; whoever asks needs a token or, with `client`, a certificate of whose
# subject a line of `token_file` says what it may: `name role=shift: certificate CN=name`. A single
# certificate is the default.
# [admin.tls]
# certificates = [{ certificate = "admin.pem", key = "admin.key" }]
# min_version = "1.2"             # or "1.3"
# client = { ca = "staff.pem", required = true }
"#;

static CERTIFICATE: Table = Table::new(
    "",
    &[
        Key::of("certificate", Kind::Text(None)),
        Key::of("key", Kind::Text(None)),
        boolean("default", false),
        table("client", &CLIENT, Without::Off),
    ],
);

static CLIENT: Table =
    Table::new("", &[Key::of("ca", Kind::Text(None)), boolean("required", true)]);

static HSTS: Table = Table::new(
    "",
    &[Key::of("max_age", Kind::Text(Some("365d"))), boolean("include_subdomains", false)],
);

/// What the reference shows of a listener's TLS.
pub(super) const TLS_LINES: &str = r#"# HTTPS (docs/tls.md). A certificate is chosen by the name that a client asks for, and read again when
# its file or its key's changes. The default is for whoever asks for no name or for an unknown one, who
# is refused otherwise. `client` asks clients for certificates; in an entry of `certificates` too, for
# its names alone. `hsts` is what browsers are told of HTTPS.
# [listeners.tls]
# certificates = [{ certificate = "shop.pem", key = "shop.key", default = true }]  # beside this file
# min_version = "1.2"             # or "1.3"
# client = { ca = "clients.pem", required = true }
# hsts = { max_age = "365d", include_subdomains = false }

# Certificates are ordered from an authority for all hosts that those above do not cover, and renewed
# (ACME); `acme = { email = "you@example.com" }` is enough. Who writes it agrees to the authority's terms.
# [listeners.tls.acme]
# email = "you@example.com"       # where the authority may write to; it need not be there
# directory = "https://acme-v02.api.letsencrypt.org/directory"
# ca = "authority.pem"            # who signs the directory's own certificate; default: the system's
# names = ["shop.example.com"]    # hosts and addresses; default: all public hosts of routes
# profile = "tlsserver"           # default: the authority's; "shortlived" for addresses
# challenge = "http-01"           # or "tls-alpn-01"; default: by what listeners there are
# external_account = { id = "kid-1", key_file = "account.key" }  # if the authority asks for one
"#;

/// TLS to upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTls {
    /// The authorities that sign their certificates (PEM); none for the system's.
    pub ca: Option<PathBuf>,
    /// The name that they are asked for and have to show; none for their own.
    pub server_name: Option<String>,
    /// What we show them: a certificate and its key (PEM).
    pub own: Option<(PathBuf, PathBuf)>,
    /// Whether it matters who they are.
    pub verify: bool,
}

impl std::fmt::Display for PoolTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("on")?;
        let mut before = ": ";
        let mut part = |name: &str, value: &dyn std::fmt::Display| {
            write!(f, "{before}{name} {value}")?;
            before = ", ";
            Ok(())
        };
        self.ca.iter().try_for_each(|ca| part("ca", &ca.display()))?;
        self.server_name.iter().try_for_each(|name| part("server_name", name))?;
        if let Some((certificate, key)) = &self.own {
            part("certificate", &certificate.display())?;
            part("key", &key.display())?;
        }
        if self.verify { Ok(()) } else { part("verify", &false) }
    }
}

pub(super) static POOL_TLS: Table = Table::new(
    "",
    &[
        text_option("ca", "\"upstreams.pem\""),
        text_option("server_name", "\"shop.internal\""),
        text_option("certificate", "\"pointsman.pem\""),
        text_option("key", "\"pointsman.key\""),
        boolean("verify", true),
    ],
);

/// Whether upstreams speak TLS: `true`, `false` or a table.
pub(super) const POOL_KEY: Key = free("tls", "").shape(Shape::FlagOrTable(&POOL_TLS));

pub(super) fn tls(mut section: Section<'_>, problems: &mut Problems) -> ListenerTls {
    let orders = section.has("acme");
    let tls = termination(&mut section, problems, orders);
    let acme = section.table_if_given(problems, "acme");
    let acme = acme.and_then(|section| acme::acme(section, problems));
    let hsts = section.table_if_given(problems, "hsts").map(|section| hsts(section, problems));
    section.close(problems);
    ListenerTls { acme, hsts: hsts.flatten(), ..tls }
}

/// TLS of the admin address: who asks there dials an address, and so asks for no name.
pub(super) fn admin_tls(mut section: Section<'_>, problems: &mut Problems) -> ListenerTls {
    let mut tls = termination(&mut section, problems, false);
    let of_one = section.span.clone();
    section.close(problems);
    if tls.certificates.iter().any(|certificate| certificate.client.is_some()) {
        // Whoever asks chooses the name, and by it the authority that vouches for who he is.
        let message = "a certificate of [admin.tls] asks for certificates of its own clients";
        let problem = Problem::error(of_one, message).label("has one authority for all of them");
        problems.0.push(problem.help("write `client` into [admin.tls] itself"));
    }
    if let [only] = &mut tls.certificates[..] {
        only.is_default = true;
    }
    tls
}

/// What both have; `orders` if there are certificates beside those in files.
fn termination(section: &mut Section<'_>, problems: &mut Problems, orders: bool) -> ListenerTls {
    let span = section.span.clone();
    let found = section.tables(problems, "certificates");
    let was_given = !found.is_empty();
    let mut certificates = Vec::new();
    let mut default = None;
    for section in found {
        let span = section.span.clone();
        let Some(files) = certificate(section, problems) else { continue };
        if files.is_default
            && let Some(first) = default.replace(span.clone())
        {
            let problem = Problem::error(span, "two certificates are the default");
            problems.0.push(problem.label("the second").other(first, "the first"));
        }
        certificates.push(files);
    }
    if !was_given && !orders {
        let problem = Problem::error(span, "TLS needs a certificate");
        let example = "certificates = [{ certificate = \"shop.pem\", key = \"shop.key\" }]";
        problems.0.push(problem.help(format!("for example `{example}`")));
    }
    let min_version = section.word(problems, "min_version", |word| match word {
        "1.2" => Some(TlsVersion::V1_2),
        "1.3" => Some(TlsVersion::V1_3),
        _ => None,
    });
    let client = section.table_if_given(problems, "client");
    let client = client.and_then(|section| client_certificates(section, problems));
    let min_version = min_version.unwrap_or_default();
    ListenerTls { certificates, acme: None, min_version, client, hsts: None }
}

fn certificate(mut section: Section<'_>, problems: &mut Problems) -> Option<CertificateFiles> {
    let certificate = needed(&mut section, problems, "certificate");
    let key = needed(&mut section, problems, "key");
    let is_default = section.boolean(problems, "default");
    let client = section.table_if_given(problems, "client");
    let client = client.and_then(|section| client_certificates(section, problems));
    section.close(problems);
    Some(CertificateFiles { certificate: certificate?, key: key?, is_default, client })
}

fn client_certificates(
    mut section: Section<'_>,
    problems: &mut Problems,
) -> Option<ClientCertificates> {
    let ca = needed(&mut section, problems, "ca");
    let is_required = section.boolean(problems, "required");
    section.close(problems);
    Some(ClientCertificates { ca: ca?, is_required })
}

fn hsts(mut section: Section<'_>, problems: &mut Problems) -> Option<Hsts> {
    let max_age = section.text(problems, "max_age", duration);
    let include_subdomains = section.boolean(problems, "include_subdomains");
    section.close(problems);
    Some(Hsts { max_age: max_age?.value, include_subdomains })
}

/// TLS of a pool; none if its upstreams speak none.
pub(super) fn pool_tls(pool: &mut Section<'_>, problems: &mut Problems) -> Option<PoolTls> {
    let value = pool.value("tls")?;
    let plain = PoolTls { ca: None, server_name: None, own: None, verify: true };
    let table = match value.get_ref() {
        DeValue::Boolean(is_on) => return is_on.then_some(plain),
        DeValue::Table(table) => table,
        _ => {
            problems.0.push(wrong_kind("tls", value, "`true`, `false` or a table"));
            return None;
        }
    };
    let mut section = Section::new("tls", &POOL_TLS, Some(table), value.span());
    let ca = section.text(problems, "ca", path);
    let server_name = section.text(problems, "server_name", server_name);
    let certificate = section.text(problems, "certificate", path);
    let key = section.text(problems, "key", path);
    let verify = section.boolean(problems, "verify");
    for (has, lacks) in [("certificate", "key"), ("key", "certificate")] {
        if section.has(has) && !section.has(lacks) {
            let problem =
                Problem::error(section.place(has), format!("a `{has}` without a `{lacks}`"));
            problems.0.push(problem.help("both belong to what upstreams are shown of us"));
        }
    }
    if !verify {
        let message = "whoever is between here and the upstreams can read and change all of it";
        let problem = Problem::error(section.place("verify"), message).warning();
        problems.0.push(problem.help("name the authority of their certificates in `ca` instead"));
    }
    section.close(problems);
    Some(PoolTls {
        ca: ca.map(|found| found.value),
        server_name: server_name.map(|found| found.value),
        own: certificate.zip(key).map(|(certificate, key)| (certificate.value, key.value)),
        verify,
    })
}

/// A file that cannot be left out.
fn needed(
    section: &mut Section<'_>,
    problems: &mut Problems,
    key: &'static str,
) -> Option<PathBuf> {
    let found = section.text(problems, key, path);
    if !section.has(key) {
        problems.0.push(Problem::error(section.span.clone(), format!("`{key}` is missing here")));
    }
    found.map(|found| found.value)
}

/// A name that a certificate can have.
fn server_name(text: &str) -> Result<String, &'static str> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    let is_name = text.len() <= 253 && text.split('.').all(is_label);
    match is_address || is_name {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("expected a name or an address as certificates have them"),
    }
}
