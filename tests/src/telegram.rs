//! Telegram's Bot API on 127.0.0.1, see tests/mail/bot_api.py.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::recorder::{Recorder, pairs, text};

/// The bot's token. `123456789` is its id, which is no secret; what follows the colon is.
pub const TOKEN: &str = "123456789:AAkestrel-and-14-more-wings_0123456";
/// What a busy API asks for, in seconds.
pub const RETRY_AFTER: u64 = 17;

/// How the API behaves: the modes of bot_api.py.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BotMode {
    /// As documented: the right token sends, another is 401, one that cannot be a token 404.
    Ok,
    /// 401 for every token.
    Unauthorized,
    /// 429, retry after [`RETRY_AFTER`] seconds.
    Busy,
    /// 400: no such chat.
    ChatNotFound,
    /// 403: the person has blocked the bot.
    Blocked,
    /// 502 with a proxy's HTML page, which shows the path with the token in it.
    Html,
    /// 200 with a text.
    NotJson,
    /// 200 with half an answer.
    Truncated,
    /// 200 with `"ok": false`.
    NotOk,
    /// 302 to another path on the same server, where everything is fine.
    Redirect,
    /// 200 with a body of 1 GiB.
    Huge,
    /// 200 with header lines without end.
    EndlessHeaders,
    /// Takes the request and never answers.
    Hang,
    /// A byte of the answer a second.
    Drip,
    /// Takes the request and ends the connection.
    Close,
}

impl BotMode {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unauthorized => "unauthorized",
            Self::Busy => "busy",
            Self::ChatNotFound => "chat_not_found",
            Self::Blocked => "blocked",
            Self::Html => "html",
            Self::NotJson => "not_json",
            Self::Truncated => "truncated",
            Self::NotOk => "not_ok",
            Self::Redirect => "redirect",
            Self::Huge => "huge",
            Self::EndlessHeaders => "endless_headers",
            Self::Hang => "hang",
            Self::Drip => "drip",
            Self::Close => "close",
        }
    }
}

/// The API, running. Several may run at once.
pub struct BotApi {
    server: Recorder,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotRequest {
    /// `POST`.
    pub method: String,
    /// `/botTOKEN/sendMessage`.
    pub path: String,
    /// Names as they were sent, and values.
    pub headers: Vec<(String, String)>,
    /// As it was sent.
    pub body: String,
    /// The answer's status; 0 when there was none.
    pub status: u64,
}

/// A message the API has taken for sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotMessage {
    /// The person's number.
    pub chat_id: i64,
    /// What they read.
    pub text: String,
}

impl BotApi {
    /// Starts the API and waits until it listens.
    #[track_caller]
    pub fn start(mode: BotMode) -> Self {
        Self {
            server: Recorder::start("bot_api.py", &["--token", TOKEN, mode.name()]),
        }
    }

    /// What `[courier.telegram] api` names: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<BotRequest> {
        self.server
            .entries()
            .iter()
            .map(|entry| BotRequest {
                method: text(entry, "method"),
                path: text(entry, "path"),
                headers: pairs(entry, "headers"),
                body: text(entry, "body"),
                status: entry["status"].as_u64().unwrap(),
            })
            .collect()
    }

    /// All messages that were sent, in order.
    pub fn messages(&self) -> Vec<BotMessage> {
        self.server
            .entries()
            .iter()
            .filter(|entry| !entry["message"].is_null())
            .map(|entry| BotMessage {
                chat_id: entry["message"][0].as_i64().unwrap(),
                text: entry["message"][1].as_str().unwrap().to_owned(),
            })
            .collect()
    }

    /// The message number `count`, from 1, as soon as it was sent.
    #[track_caller]
    pub fn wait_for_message(&self, count: usize, patience: Duration) -> BotMessage {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(message) = self.messages().into_iter().nth(count - 1) {
                return message;
            }
            assert!(
                Instant::now() < deadline,
                "message {count} was not sent; requests: {:#?}",
                self.requests()
            );
            sleep(Duration::from_millis(5));
        }
    }
}
