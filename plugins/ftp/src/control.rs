//! The control connection: a command, or two that belong together, and an answer to each within the time limit.

use std::{io, net::SocketAddr, time::Duration};

use ferryway_core::error::Reply;
use suppaftp::{FtpError, FtpResult, types::Response};
use tokio::{
    task::unconstrained,
    time::{error::Elapsed, timeout},
};

use crate::{
    classify::Failure,
    config::Limits,
    early::{Early, FtpStream},
};

/// A reply of the partner, with all its lines.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// Every line, the first and the last with their code (RFC 959 section 4.2).
    pub(crate) text: String,
}

impl Answer {
    /// The command is under way: 1yz.
    pub(crate) fn is_preliminary(&self) -> bool {
        self.code / 100 == 1
    }

    /// The command is done: 2yz.
    pub(crate) fn is_done(&self) -> bool {
        self.code / 100 == 2
    }

    /// The partner waits for the command's second half: 3yz.
    pub(crate) fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// The partner does not know the command, rather than refuse this use of it.
    pub(crate) fn is_unknown_command(&self) -> bool {
        is_unknown_command(self.code)
    }

    /// The text after the code of the last line, which is where results stand.
    pub(crate) fn body(&self) -> &str {
        let last = self.text.lines().next_back().unwrap_or("");
        last.get(4..).unwrap_or("").trim()
    }

    /// The answer on one line, without its codes.
    pub(crate) fn reply(&self) -> Reply {
        let code = format!("{:03}", self.code);
        let line = |line: &str| {
            let rest = line.strip_prefix(&code).and_then(|rest| rest.strip_prefix([' ', '-']));
            rest.unwrap_or(line).trim().to_owned()
        };
        let lines: Vec<_> = self.text.lines().map(line).filter(|line| !line.is_empty()).collect();
        Reply { code: self.code, text: lines.join(" / ") }
    }

    /// The answer if the command is done.
    pub(crate) fn done(self) -> Result<Self, Failure> {
        if self.is_done() { Ok(self) } else { Err(Failure::Reply(self.reply())) }
    }
}

/// Whether the code says that there is no such command. 501 is about its argument.
pub(crate) fn is_unknown_command(code: u16) -> bool {
    matches!(code, 500 | 502 | 504)
}

/// Where a partner was silent that may hear one command at a time only.
const DEAF: &str = "after two commands in one piece (`early_commands = false` sends one at a time)";

/// The control connection of one session.
pub(crate) struct Control {
    ftp: FtpStream,
    limits: Limits,
    /// `None` where commands have to take turns with their answers.
    early: Option<Early>,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Control {
    /// Takes over a connection whose greeting was read.
    pub(crate) async fn new(
        ftp: FtpStream,
        limits: Limits,
        early: Option<Early>,
    ) -> io::Result<Self> {
        let (local, peer) = {
            let socket = ftp.get_ref().await;
            (socket.local_addr()?, socket.peer_addr()?)
        };
        Ok(Self { ftp, limits, early, local, peer })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Our end.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The partner's end.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends a command and waits for its final answer.
    pub(crate) async fn ask(&mut self, command: &str) -> Result<Answer, Failure> {
        self.ask_within(command, self.limits.step).await
    }

    /// The same with a time limit of its own.
    pub(crate) async fn ask_within(
        &mut self,
        command: &str,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let answer = self.begin_within(command, limit).await?;
        if answer.is_preliminary() { self.end_within(limit).await } else { Ok(answer) }
    }

    /// Sends two commands and waits for their final answers. The second one matters only where the
    /// answer to the first `leads_on` to it; the caller vouches that it does nothing elsewhere. A partner that
    /// takes commands early gets both in one piece, any other one hears the second in its turn, if at all.
    ///
    /// # Errors
    /// Besides those of [`ask`](Self::ask), that the partner answers the second with the end of the session
    /// (421). Where it ends with the first answer, that is the only one.
    pub(crate) async fn ask_pair(
        &mut self,
        commands: [&str; 2],
        leads_on: impl Fn(&Answer) -> bool,
    ) -> Result<(Answer, Option<Answer>), Failure> {
        let (first, second) = match self.early.clone() {
            Some(early) => self.ask_early(&early, commands).await?,
            None => {
                let [first, second] = commands;
                let first = self.ask(first).await?;
                let second = if leads_on(&first) { Some(self.ask(second).await?) } else { None };
                (first, second)
            }
        };
        match second {
            Some(end) if end.code == 421 => Err(Failure::Reply(end.reply())),
            second => Ok((first, second)),
        }
    }

    /// The same with a session's first pair, which shows whether the partner hears both.
    pub(crate) async fn try_pair(
        &mut self,
        commands: [&str; 2],
        leads_on: impl Fn(&Answer) -> bool,
    ) -> Result<(Answer, Option<Answer>), Failure> {
        let answers = self.ask_pair(commands, leads_on).await;
        let Some(early) = &self.early else { return answers };
        match answers {
            Ok((_, Some(_))) => early.heard(),
            Err(Failure::Timeout(_)) => {
                early.not_heard(true);
                return Err(Failure::Timeout(DEAF));
            }
            Err(_) => early.not_heard(false),
            Ok((_, None)) => {}
        }
        answers
    }

    /// Sends no more commands early in this session.
    pub(crate) fn take_turns(&mut self) {
        self.early = None;
    }

    /// Both answers; the second is missing only where the partner says that it closes the session.
    async fn ask_early(
        &mut self,
        early: &Early,
        commands: [&str; 2],
    ) -> Result<(Answer, Option<Answer>), Failure> {
        let limit = self.limits.step;
        let mut first = bounded(limit, early.send(&mut self.ftp, commands)).await?;
        if first.is_preliminary() {
            first = self.end().await?;
        }
        let second = if first.code == 421 { None } else { Some(self.end().await?) };
        Ok((first, second))
    }

    /// Sends a command and waits for its first answer, which may be preliminary.
    pub(crate) async fn begin(&mut self, command: &str) -> Result<Answer, Failure> {
        self.begin_within(command, self.limits.step).await
    }

    async fn begin_within(&mut self, command: &str, limit: Duration) -> Result<Answer, Failure> {
        bounded(limit, self.ftp.custom_command(command, &[])).await
    }

    /// Waits for the final answer to a command that was begun.
    pub(crate) async fn end(&mut self) -> Result<Answer, Failure> {
        self.end_within(self.limits.step).await
    }

    /// The same with a time limit of its own.
    pub(crate) async fn end_within(&mut self, limit: Duration) -> Result<Answer, Failure> {
        loop {
            let answer = bounded(limit, self.ftp.read_response_in(&[])).await?;
            if !answer.is_preliminary() {
                return Ok(answer);
            }
        }
    }
}

/// Lets suppaftp say something and hear the answer, within a time limit.
///
/// It writes a command without a flush, and reads. Under TLS a write that tokio puts off, for its task
/// has had its share of the turn, stays in memory then, and both ends wait for each other. So these
/// steps, which are short, have no share that could be used up.
pub(crate) async fn within<T>(
    limit: Duration,
    step: impl Future<Output = FtpResult<T>>,
) -> Result<FtpResult<T>, Elapsed> {
    timeout(limit, unconstrained(step)).await
}

/// Any answer will do: suppaftp, expecting none, hands out each as an unexpected one.
async fn bounded(
    limit: Duration,
    step: impl Future<Output = FtpResult<Response>>,
) -> Result<Answer, Failure> {
    match within(limit, step).await {
        Err(_) => Err(Failure::Timeout("on the control connection")),
        Ok(Ok(response) | Err(FtpError::UnexpectedResponse(response))) => Ok(answer(&response)),
        Ok(Err(error)) => Err(lost(error)),
    }
}

/// The answer in a response. suppaftp's status lacks codes that servers do send (251, 522,
/// 554): the digits of the last line are the truth.
pub(crate) fn answer(response: &Response) -> Answer {
    let text = String::from_utf8_lossy(&response.body).trim_end().to_owned();
    let last = text.lines().next_back().unwrap_or("");
    let code = last.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Answer { code, text }
}

/// What suppaftp says when no answer came.
pub(crate) fn lost(error: FtpError) -> Failure {
    match error {
        FtpError::ConnectionError(error) if error.kind() == io::ErrorKind::InvalidData => {
            Failure::Protocol("the partner's reply is larger than any reply may be".to_owned())
        }
        FtpError::ConnectionError(error) => Failure::Io(error),
        FtpError::UnexpectedResponse(response) => Failure::Reply(answer(&response).reply()),
        // A connection closed in the middle of a reply shows up as a bad response.
        other => Failure::Io(io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use suppaftp::Status;

    use super::*;

    fn read(body: &str) -> Answer {
        answer(&Response::new(Status::Unknown, body.as_bytes().to_vec()))
    }

    #[test]
    fn the_digits_of_an_unlisted_code_are_read() {
        let answer = read("554 Invalid REST parameter\r\n");
        assert_eq!(answer.reply(), Reply { code: 554, text: "Invalid REST parameter".to_owned() });
    }

    #[test]
    fn a_long_answer_becomes_one_line() {
        let answer = read("550-No\r\n550-such\r\n550 file\r\n");
        assert_eq!(answer.reply(), Reply { code: 550, text: "No / such / file".to_owned() });
    }

    #[test]
    fn no_digits_are_no_code() {
        assert_eq!(read("hello\r\n").code, 0);
        assert_eq!(read("日本\r\n").code, 0);
    }
}
