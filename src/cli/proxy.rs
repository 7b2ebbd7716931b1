//! `proxy`: addresses in, a running proxy out, without a file.

use std::fmt::Write;

use anyhow::bail;
use clap::Args;

use super::logging::{self, LogFormat};
use super::{Ending, run};
use crate::config::ListenAddress;
use crate::files::Source;
use crate::server::Options;
use crate::server::inherit::Inherited;
use crate::server::signals::Signals;
use crate::split::{BasisPoints, WHOLE};
use crate::upstream::Address;

/// Names of the first pools, as everyone calls them.
const COLOURS: [&str; 2] = ["blue", "green"];

/// Run the proxy without a file.
///
/// Addresses with a share become pools of a service named `app` ("blue", "green", "pool3" …), to be
/// shifted with `pointsman shift app blue=50 green=50`. Addresses without any share make one pool.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    pointsman proxy --listen 127.0.0.1:8080 --to 127.0.0.1:9001\n  \
    pointsman proxy --listen 127.0.0.1:8080 --to 127.0.0.1:9001=95 --to 127.0.0.1:9002=5")]
pub struct Proxy {
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: ListenAddress,
    /// Where to send their requests, perhaps with a share in percent.
    #[arg(long, value_name = "ADDRESS[=PERCENT]", required = true, value_parser = to)]
    to: Vec<(Address, Option<BasisPoints>)>,
    /// Admin address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    admin: ListenAddress,
    /// What log lines look like.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

fn to(text: &str) -> Result<(Address, Option<BasisPoints>), String> {
    let (address, share) = match text.rsplit_once('=') {
        Some((address, share)) => {
            (address, Some(BasisPoints::from_percent(share).map_err(|error| error.to_string())?))
        }
        None => (text, None),
    };
    Ok((address.parse().map_err(|error| format!("{error}"))?, share))
}

impl Proxy {
    pub(super) async fn run(self, inherited: Inherited) -> anyhow::Result<Ending> {
        logging::start(self.log_format, "info");
        let source = Source::Fixed(config(&self.listen, &self.admin, &self.to)?);
        let options = Options { source, admin: Some(self.admin), watches_file: false };
        let signals = Signals::listen()?;
        run::serve(run::start(options, inherited).await?, signals).await
    }
}

/// The file that nobody had to write. Every value has been parsed, so none can break out of its
/// quotes.
fn config(
    listen: &ListenAddress,
    admin: &ListenAddress,
    to: &[(Address, Option<BasisPoints>)],
) -> anyhow::Result<String> {
    let mut text = format!("[[listeners]]\naddress = \"{listen}\"\n\n");
    // Any other needs tokens, which there are none of without a file: the start says so.
    if admin.is_local() {
        let _ = write!(text, "[admin]\naddress = \"{admin}\"\n\n");
    }
    if to.iter().all(|(_, share)| share.is_none()) {
        let list: Vec<_> = to.iter().map(|(address, _)| format!("\"{address}\"")).collect();
        let _ = writeln!(text, "[services.app.pools.blue]\nupstreams = [{}]", list.join(", "));
        return Ok(text);
    }
    let given: u32 =
        to.iter().flat_map(|(_, share)| *share).map(|share| u32::from(share.get())).sum();
    let open = to.iter().filter(|(_, share)| share.is_none()).count() as u32;
    let rest = u32::from(WHOLE).saturating_sub(given);
    if given > u32::from(WHOLE) || (open == 0 && rest > 0) || (open > 0 && rest % open != 0) {
        bail!("the shares sum to {} %, not to 100 %", f64::from(given) / 100.0);
    }
    let (mut split, mut pools) = (Vec::new(), String::new());
    for (at, (address, share)) in to.iter().enumerate() {
        let name = COLOURS.get(at).map_or_else(|| format!("pool{}", at + 1), ToString::to_string);
        let basis_points = share.map_or(rest / open.max(1), |share| u32::from(share.get()));
        split.push(format!("{name} = {}", f64::from(basis_points) / 100.0));
        let _ = writeln!(pools, "[services.app.pools.{name}]\nupstreams = [\"{address}\"]");
    }
    let _ = write!(text, "[services.app]\nsplit = {{ {} }}\n\n{pools}", split.join(", "));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn splits(args: &[&str]) -> Result<String, String> {
        let to: Vec<_> = args.iter().map(|arg| to(arg).unwrap()).collect();
        let listen = "127.0.0.1:0".parse().unwrap();
        let text = config(&listen, &listen, &to).map_err(|error| error.to_string())?;
        let (config, _) = Config::parse(&text).map_err(|p| p.render(&text, "t", false))?;
        Ok(config.services[0].split.to_string())
    }

    #[test]
    fn shares_become_pools() {
        assert_eq!(splits(&["a:1=95", "b:1=5"]).unwrap(), "blue=95 green=5");
        assert_eq!(splits(&["a:1=99.5", "b:1"]).unwrap(), "blue=99.5 green=0.5");
        assert_eq!(splits(&["a:1", "b:1"]).unwrap(), "blue=100");
        assert_eq!(
            splits(&["a:1=50", "b:1=49"]).unwrap_err(),
            "the shares sum to 99 %, not to 100 %"
        );
    }
}
