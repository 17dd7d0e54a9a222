//! What is said in the clear before STARTTLS (RFC 3207): a greeting, EHLO, STARTTLS, and not a byte more. Nothing
//! that is said here may be relied on later.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bounded::Allowance;
use super::too_much;
use crate::progress::Progress;
use crate::report::{Class, Failure, quote};

/// One answer of a server.
struct Answer {
    code: u16,
    /// What stands behind the code, line by line.
    lines: Vec<String>,
}

/// The dialogue, and where it is.
struct Dialogue<'a> {
    stream: &'a mut TcpStream,
    progress: &'a Progress,
    host: &'a str,
    allowance: Allowance,
    /// What came and was not understood yet.
    came: Vec<u8>,
}

/// Brings a connection to where TLS begins.
pub(super) async fn starttls(
    stream: &mut TcpStream,
    own_name: &str,
    progress: &Progress,
    host: &str,
) -> Result<(), Failure> {
    let mut dialogue = Dialogue {
        stream,
        progress,
        host,
        allowance: Allowance::default(),
        came: Vec::new(),
    };
    progress.doing("waiting for the greeting");
    dialogue.answer(220).await?;
    progress.doing("waiting for the answer to EHLO");
    dialogue.say(&format!("EHLO {own_name}\r\n")).await?;
    let offers = dialogue.answer(250).await?.lines;
    // The first line is the server's name.
    let is_offered = offers
        .iter()
        .skip(1)
        .any(|line| line.trim().eq_ignore_ascii_case("STARTTLS"));
    if !is_offered {
        return Err(Failure::config(
            Class::StarttlsMissing,
            format!(
                "{host} does not offer STARTTLS; nothing was sent. Port 465 with security = \"tls\" may do"
            ),
        ));
    }
    progress.doing("waiting for the answer to STARTTLS");
    dialogue.say("STARTTLS\r\n").await?;
    dialogue.answer(220).await?;
    if dialogue.came.is_empty() {
        Ok(())
    } else {
        Err(Failure::retry(
            Class::StarttlsInjected,
            format!(
                "something came in the clear behind the answer of {host} to STARTTLS; nothing was sent"
            ),
        ))
    }
}

impl Dialogue<'_> {
    async fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.allowance.renew();
        self.stream
            .write_all(text.as_bytes())
            .await
            .map_err(|_| self.lost())
    }

    /// The next answer, which has to carry this code.
    async fn answer(&mut self, code: u16) -> Result<Answer, Failure> {
        loop {
            match take_answer(&mut self.came) {
                Some(Ok(answer)) if answer.code == code => return Ok(answer),
                Some(Ok(answer)) => return Err(self.other(&answer)),
                Some(Err(())) => return Err(self.not_smtp()),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 4096];
        let length = self
            .stream
            .read(&mut bytes)
            .await
            .map_err(|_| self.lost())?;
        let new = bytes.get(..length).unwrap_or_default();
        if new.is_empty() {
            return Err(self.lost());
        }
        if self.allowance.take(new).is_err() {
            return Err(too_much(self.host, self.progress));
        }
        self.came.extend_from_slice(new);
        Ok(())
    }

    fn lost(&self) -> Failure {
        Failure::retry(
            Class::ConnectionLost,
            format!(
                "{} ended the connection {}",
                self.host,
                self.progress.what()
            ),
        )
    }

    fn not_smtp(&self) -> Failure {
        Failure::retry(
            Class::Protocol,
            format!(
                "{} does not speak SMTP as it should, {}",
                self.host,
                self.progress.what()
            ),
        )
    }

    fn other(&self, answer: &Answer) -> Failure {
        let said = quote(&answer.lines.join(" "), &[]);
        let detail = format!(
            "{} answered {} {}: {said}",
            self.host,
            answer.code,
            self.progress.what()
        );
        match answer.code {
            400..500 => Failure::retry(Class::Temporary, detail),
            // There is no message yet that could be refused: another time it may go better.
            500..600 => Failure::retry(Class::Refused, detail),
            _ => self.not_smtp(),
        }
    }
}

/// The first answer of what came, once it is complete (RFC 5321, 4.2.1).
fn take_answer(came: &mut Vec<u8>) -> Option<Result<Answer, ()>> {
    let mut lines = Vec::new();
    let mut rest = came.as_slice();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        let Some((code, is_last, text)) = parse_line(line) else {
            return Some(Err(()));
        };
        lines.push(text);
        if is_last {
            *came = rest.to_vec();
            return Some(Ok(Answer { code, lines }));
        }
    }
}

fn parse_line(line: &[u8]) -> Option<(u16, bool, String)> {
    let line = std::str::from_utf8(line)
        .ok()?
        .trim_end_matches(['\r', '\n']);
    let (code, rest) = line.split_at_checked(3)?;
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_last = match rest.chars().next() {
        None | Some(' ') => true,
        Some('-') => false,
        Some(_) => return None,
    };
    Some((
        code.parse().ok()?,
        is_last,
        rest.get(1..).unwrap_or_default().to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (Option<Result<u16, ()>>, String) {
        let mut came = text.as_bytes().to_vec();
        let answer = take_answer(&mut came).map(|answer| answer.map(|answer| answer.code));
        (answer, String::from_utf8(came).unwrap())
    }

    #[test]
    fn an_answer_ends_at_its_last_line_and_not_before() {
        assert_eq!(taken("220 a\r\n"), (Some(Ok(220)), String::new()));
        assert_eq!(
            taken("250-a\r\n250 b\r\nrest"),
            (Some(Ok(250)), "rest".to_owned())
        );
        assert_eq!(taken("250\n"), (Some(Ok(250)), String::new()));
        assert_eq!(taken("250-a\r\n250-b\r\n").0, None);
        assert_eq!(taken("220").0, None);
        assert_eq!(taken("HTTP/1.1 400\r\n").0, Some(Err(())));
        assert_eq!(taken("\r\n").0, Some(Err(())));
    }
}
