//! `run`: a config file in, a running proxy out, until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use tokio::time::timeout;

use super::input::usual;
use super::logging::{self, LogFormat};
use super::{Ending, environment};
use crate::config::ListenAddress;
use crate::files::{FileError, Source};
use crate::server::inherit::Inherited;
use crate::server::signals::Signals;
use crate::server::{Options, Over, Server, StartError, supervisor};

/// Run the proxy with a config file.
///
/// Changes of the file take effect by themselves; a file with errors changes nothing. SIGHUP reads
/// it again; SIGTERM, SIGINT and SIGQUIT stop: who has connected is answered, requests under way end,
/// and a second one ends it at once (docs/stopping.md).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman run\n  pointsman run /etc/pointsman/pointsman.toml\n  \
                        POINTSMAN_LOG=warn,wire=debug pointsman run --log-format json\n\n\
                        The log goes to standard error. POINTSMAN_LOG=LEVEL[,TARGET=LEVEL…] is how \
                        much it says at first (info); `pointsman log-level` changes it."
)]
pub struct Run {
    /// The config file [default: pointsman.toml, then /etc/pointsman/pointsman.toml]
    file: Option<PathBuf>,
    /// Admin address, instead of the file's.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<ListenAddress>,
    /// Do not watch the file; reload by SIGHUP or `pointsman reload` only.
    #[arg(long)]
    no_watch: bool,
    /// What log lines look like.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

impl Run {
    pub(super) async fn run(self, inherited: Inherited) -> anyhow::Result<Ending> {
        logging::start(self.log_format, "info");
        let file = match self.file {
            Some(file) => file,
            None => usual()?,
        };
        let options = Options {
            source: Source::file(file, environment()),
            admin: self.admin,
            watches_file: !self.no_watch,
        };
        let signals = Signals::listen()?;
        serve(start(options, inherited).await?, signals).await
    }
}

/// Starts, showing a config's errors the way `check` does.
pub(super) async fn start(options: Options, inherited: Inherited) -> anyhow::Result<Server> {
    match Server::start_on(options, Arc::new(inherited)).await {
        Ok(server) => Ok(server),
        Err(StartError::File(FileError::Problems(rejected))) => {
            eprintln!("{}", rejected.render(super::check::is_coloured()));
            bail!("{} cannot be used", rejected.path())
        }
        Err(error) => Err(error).context("cannot start"),
    }
}

/// Lets connections end, now that another process serves. A supervisor that stops that one may tell this one
/// too, which then stays no longer than a stop does.
async fn leave(server: Server, mut signals: Signals) -> anyhow::Result<Ending> {
    tracing::info!("another process serves; who is connected here has its time to end");
    let drain = server.published().load().config.server.drain;
    let told = async {
        signals.again().await;
        // Who is told twice goes at once.
        let _ = timeout(drain, signals.again()).await;
    };
    tokio::select! {
        left = server.leave() => match left {
            0 => tracing::info!("all connections have ended"),
            left => tracing::warn!(connections = left, "ended before all connections had"),
        },
        () = told => tracing::warn!("told to stop: ended before all connections had"),
    }
    Ok(Ending::Done)
}

/// Serves until a signal, then drains. It is an error if a part ends by itself: whoever looks after
/// the process starts it again.
pub(super) async fn serve(mut server: Server, mut signals: Signals) -> anyhow::Result<Ending> {
    tracing::info!(admin = %server.admin_address(), "ready");
    supervisor::ready();
    server.keep_sockets();
    let control = server.control().clone();
    let upgrades = server.upgrades().clone();
    let access_log = server.access_log();
    let over = tokio::select! {
        () = signals.until_told_to_stop(&control, &upgrades, &access_log) => None,
        over = server.over() => Some(over),
    };
    let died = match over {
        None => None,
        Some(Over::Part(part)) => Some(part),
        Some(Over::Succeeded) => return leave(server, signals).await,
    };
    tracing::info!("stopping; who has connected is answered first");
    supervisor::stopping();
    tokio::select! {
        left = server.stop() => match left {
            0 => tracing::info!("stopped"),
            left => tracing::warn!(connections = left, "stopped before all requests had ended"),
        },
        () = signals.again() => tracing::warn!("told twice: stopped at once"),
    }
    if let Some(part) = died {
        bail!("a part of the process has ended that must not: {part}");
    }
    Ok(Ending::Done)
}
