//! The codes of one app over many rounds.

use std::collections::HashMap;

use mfa_tests::Authenticator;

/// An app's codes, each computed once.
pub(crate) struct Codes {
    app: Authenticator,
    known: HashMap<u64, String>,
    wrong: (u64, String),
    /// The step that [`Codes::first`] is of.
    pub(crate) step: u64,
}

impl Codes {
    pub(crate) fn of(app: &Authenticator) -> Self {
        let mut codes = Self {
            app: app.clone(),
            known: HashMap::new(),
            wrong: (0, String::new()),
            step: 0,
        };
        codes.turn();
        codes
    }

    /// Goes on to the present step; whether it is another one. What is handed out is then good for half a minute at least.
    pub(crate) fn turn(&mut self) -> bool {
        let step = self.app.step();
        let is_new = step != self.step;
        self.step = step;
        if is_new {
            self.wrong = (step, self.app.wrong_code());
        }
        is_new
    }

    /// The code of the present step.
    pub(crate) fn first(&mut self) -> String {
        self.code(self.step)
    }

    /// The code after [`Codes::first`].
    pub(crate) fn second(&mut self) -> String {
        self.code(self.step + 1)
    }

    /// Whether the present step is another one.
    pub(crate) fn is_over(&self) -> bool {
        self.app.step() != self.step
    }

    /// A code of so many days from now.
    pub(crate) fn in_days(&mut self, days: u64) -> String {
        self.code(self.step + days * 86_400 / self.app.period)
    }

    /// The app's secret, in base32.
    pub(crate) fn secret(&self) -> String {
        self.app.secret.clone()
    }

    /// A code that is none.
    pub(crate) fn wrong(&self) -> String {
        self.wrong.1.clone()
    }

    fn code(&mut self, step: u64) -> String {
        let app = &self.app;
        let code = self.known.entry(step).or_insert_with(|| app.code_of(step));
        code.clone()
    }
}
