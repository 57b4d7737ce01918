//! Serves a folder by FTP until interrupted: `ftp_server FOLDER [PRESET]`.

use std::{env, error::Error};

use ferryway_mocks::ftp_server::{Behaviour, FtpServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?;
    let preset = arguments.next();
    let mut presets = Behaviour::presets().into_iter();
    let behaviour = match &preset {
        None => Behaviour::default(),
        Some(name) => presets.find(|(known, _)| known == name).ok_or("unknown preset")?.1,
    };
    let server = FtpServer::builder(folder).behaviour(behaviour).start().await?;
    println!("ftp://{}", server.addr());
    tokio::signal::ctrl_c().await?;
    println!("{}", server.transcript());
    Ok(())
}
