//! From a partner's settings to a session that is ready for operations.

use std::net::IpAddr;

use suppaftp::FtpError;
use tokio::net::TcpStream;

use crate::{
    classify::Failure,
    config::{Limits, Mode, PassiveAddress, Settings},
    control::{Control, answer, lost, within},
    early::{Early, FtpStream, Proofs},
    features::Features,
    source_address::connect_host,
    tls::{Configs, Connector},
};

/// A session's connection and what is known of the partner at its other end.
pub(crate) struct Wire {
    pub(crate) control: Control,
    /// Secures the data connections, too (RFC 4217 section 9).
    pub(crate) tls: Option<Connector>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) mode: Mode,
    pub(crate) passive_address: PassiveAddress,
    pub(crate) passive: Passive,
    pub(crate) features: Features,
    /// Whether NLST shows hidden names; `None` until a listing was taken.
    pub(crate) nlst_shows_hidden: Option<bool>,
    /// The folder where the session starts, once it was asked for.
    pub(crate) home: Option<String>,
}

/// Which command opens passive data connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passive {
    /// EPSV, which has not worked yet: PASV is still worth a try.
    TryExtended,
    /// EPSV, which has worked.
    Extended,
    /// PASV.
    Classic,
}

/// Connects, secures, logs in, asks for the features, and sets binary mode.
pub(crate) async fn connect(
    settings: &Settings,
    source: Option<IpAddr>,
    configs: &Configs,
    proofs: &Proofs,
) -> Result<Wire, Failure> {
    let limits = settings.limits;
    let tls = match &settings.tls {
        Some(tls) => Some(configs.connector(tls, &settings.host).await.map_err(Failure::Config)?),
        None => None,
    };
    let stream = connect_host(&settings.host, settings.port, source, limits).await?;
    let mut ftp = greeted(stream, limits).await?;
    let early = Early::decide(
        settings.early_commands,
        ftp.get_welcome_msg().unwrap_or(""),
        proofs.of(&settings.host, settings.port),
        tls.as_ref().map(Connector::held),
    );
    if let Some(connector) = &tls {
        ftp = secured(ftp, connector, &settings.host, limits).await?;
    }
    let login = ftp.login(&settings.user, &settings.password.0);
    match within(limits.step, login).await {
        Err(_) => return Err(Failure::Timeout("during the login")),
        Ok(Err(FtpError::UnexpectedResponse(response))) => {
            return Err(Failure::Login(answer(&response).reply()));
        }
        Ok(Err(error)) => return Err(lost(error)),
        Ok(Ok(())) => {}
    }
    let mut control = Control::new(ftp, limits, early).await.map_err(Failure::Io)?;
    let features = prepare(&mut control).await?;
    tracing::debug!(partner = %settings, ?features, "logged in");
    Ok(Wire {
        control,
        tls,
        source,
        mode: settings.mode,
        passive_address: settings.passive_address,
        passive: Passive::TryExtended,
        features,
        nlst_shows_hidden: None,
        home: None,
    })
}

async fn greeted(stream: TcpStream, limits: Limits) -> Result<FtpStream, Failure> {
    let greeting = FtpStream::connect_with_stream(stream);
    match within(limits.step, greeting).await {
        Err(_) => Err(Failure::Timeout("before its greeting")),
        Ok(greeted) => greeted.map_err(lost),
    }
}

/// AUTH TLS, the handshake, PBSZ 0 and PROT P (RFC 4217 sections 4, 8 and 9).
async fn secured(
    ftp: FtpStream,
    connector: &Connector,
    host: &str,
    limits: Limits,
) -> Result<FtpStream, Failure> {
    match within(limits.step, ftp.into_secure(connector.clone(), host)).await {
        Err(_) => Err(Failure::Timeout("while the secure channel was made")),
        Ok(Ok(ftp)) => Ok(ftp),
        Ok(Err(FtpError::UnexpectedResponse(response))) => {
            Err(Failure::Insecure(answer(&response).reply()))
        }
        Ok(Err(error)) => Err(connector.take_failure().map_or_else(|| lost(error), Failure::Tls)),
    }
}

/// FEAT (RFC 2389), names in UTF-8 where the server wants to be asked for them, and TYPE I
/// (RFC 959 section 3.1.1.3), which stays for the whole session. A partner that takes commands early
/// gets two at once here already: if it loses one after all, nothing is at stake yet.
async fn prepare(control: &mut Control) -> Result<Features, Failure> {
    let answer = control.ask("FEAT").await?;
    let features = if answer.is_done() {
        Features::parse(&answer.text)
    } else if answer.code == 421 {
        return Err(Failure::Reply(answer.reply()));
    } else {
        let restart = control.ask("REST 0").await?.is_intermediate();
        Features { restart, ..Features::unknown() }
    };
    let binary = if features.utf8 {
        // A server that refuses the first speaks UTF-8 all the same (RFC 2640 section 3.1).
        let (names, binary) = control.try_pair(["OPTS UTF8 ON", "TYPE I"], |_| true).await?;
        binary.unwrap_or(names)
    } else {
        control.try_pair(["TYPE I", "NOOP"], |_| false).await?.0
    };
    binary.done()?;
    Ok(features)
}
