//! What is asked over the control socket, done and answered: the same that
//! signals ask, but whoever asked hears what came of it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::control::{Awaited, Wish};
use super::crew::{Stage, Worker};
use super::reload::Phase;
use super::{Master, SYSTEM_REFUSED, Stop};
use crate::board::ReloadReport;

/// What came of the last reload, or of the start.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub code: u8,
    pub message: String,
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
    pub unix_s: u64,
}

impl Outcome {
    pub fn new(code: u8, message: String) -> Outcome {
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Outcome { code, message, errors: Vec::new(), warnings: Vec::new(), unix_s }
    }

    fn tell(&self) -> Value {
        json!({
            "ok": self.code == 0,
            "code": self.code,
            "message": self.message,
            "errors": self.errors,
            "warnings": self.warnings,
            "unix_s": self.unix_s,
        })
    }
}

impl Master {
    /// Takes what has come over the control socket.
    pub(super) fn hear_control(&mut self) {
        let Some(control) = &mut self.control else { return };
        for (client, wish) in control.hear(self.poll.registry(), self.now_ms) {
            match self.grant(wish) {
                Granted::Now(answer) => self.answer(client, &answer),
                Granted::Later(awaited) => {
                    if let Some(control) = &mut self.control {
                        control.put_off(client, awaited);
                    }
                }
            }
        }
    }

    fn grant(&mut self, wish: Wish) -> Granted {
        let leaving = || Granted::Now(refusal(SYSTEM_REFUSED, "about to leave"));
        match wish {
            Wish::Status => Granted::Now(self.describe()),
            Wish::Reload if self.stop.is_some() => leaving(),
            Wish::Reload => {
                self.want_reload("rhumb reload");
                Granted::Later(Awaited::NextReload)
            }
            Wish::Reopen => match self.reopen_logs() {
                Ok(()) => Granted::Now(consent("the log files were opened anew")),
                Err(error) => Granted::Now(refusal(
                    SYSTEM_REFUSED,
                    &format!("the log files were not opened anew, the old stay in use: {error}"),
                )),
            },
            Wish::Stop => {
                self.obey_stop(Stop::Quickly, "rhumb stop");
                Granted::Later(Awaited::End)
            }
            Wish::Quit => {
                self.obey_stop(Stop::Gracefully, "rhumb quit");
                Granted::Later(Awaited::End)
            }
            Wish::Upgrade => self.grant_upgrade(),
            Wish::Signal(row) => {
                self.obey(row.signal, row.order);
                Granted::Now(consent(&format!("{} obeyed", row.signal)))
            }
        }
    }

    fn answer(&mut self, client: usize, answer: &Value) {
        if let Some(control) = &mut self.control {
            control.answer(client, answer, self.now_ms);
        }
    }

    /// Answers all who wait for this.
    pub(super) fn answer_waiting(&mut self, awaited: Awaited, answer: &Value) {
        if let Some(control) = &mut self.control {
            control.answer_waiting(awaited, answer, self.now_ms);
        }
    }

    /// Who has asked for a reload waits for this one.
    pub(super) fn note_reload_begun(&mut self) {
        if let Some(control) = &mut self.control {
            control.turn(Awaited::NextReload, Awaited::Reload);
        }
    }

    /// A reload, or the start, has come to its end.
    pub(super) fn note_reload_ended(&mut self, outcome: Outcome) {
        self.answer_waiting(Awaited::Reload, &outcome.tell());
        self.board.report_reload(&ReloadReport {
            unix_s: outcome.unix_s,
            is_done: outcome.code == 0,
            message: outcome.message.clone(),
            errors: outcome.errors.clone(),
            warnings: outcome.warnings.clone(),
        });
        self.last_reload = Some(outcome);
    }

    /// Nothing that is waited for will come.
    pub(super) fn disappoint_waiting(&mut self) {
        let answer = refusal(SYSTEM_REFUSED, "about to leave");
        for awaited in [Awaited::NextReload, Awaited::Reload, Awaited::Upgrade] {
            self.answer_waiting(awaited, &answer);
        }
    }

    fn obey_stop(&mut self, stop: Stop, why: &str) {
        match (self.stop, stop) {
            (None, _) | (Some(Stop::Gracefully), Stop::Quickly) => self.begin_stop(stop, why),
            _ => {}
        }
    }

    fn describe(&self) -> Value {
        let state = match (&self.stop, &self.phase) {
            (Some(_), _) => "leaving",
            (None, _) if self.current.is_none() => "starting",
            (None, Phase::Steady) => "serving",
            (None, Phase::Probing(_) | Phase::Rolling(_) | Phase::Closing(_)) => "reloading",
        };
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut status = crate::board::status::render(&self.board, self.now_ms, unix_s);
        // What only we know of a worker: that it has been told to end.
        for told in status["workers"].as_array_mut().into_iter().flatten() {
            let is_ending =
                |worker: &&Worker| worker.stage == Stage::Ending && told["pid"] == worker.pid.as_raw();
            if self.workers.iter().find(is_ending).is_some() {
                told["state"] = json!("ending");
            }
        }
        let listeners = self.current.as_ref().map(|current| &current.listeners[..]).unwrap_or_default();
        let file = self.current.as_ref().and_then(|current| current.daemon.file.as_ref());
        for (key, value) in [
            ("ok", json!(true)),
            ("code", json!(0)),
            ("state", json!(state)),
            ("file", json!(file.map(|file| file.display().to_string()))),
            ("listen", json!(listeners.iter().map(|listener| listener.describe()).collect::<Vec<_>>())),
            ("last_reload", json!(self.last_reload.as_ref().map(Outcome::tell))),
            ("upgrade", json!(self.describe_upgrade())),
        ] {
            status[key] = value;
        }
        status
    }
}

/// When an answer comes.
pub enum Granted {
    Now(Value),
    Later(Awaited),
}

pub fn consent(message: &str) -> Value {
    json!({"ok": true, "code": 0, "message": message, "pid": std::process::id()})
}

pub fn refusal(code: u8, message: &str) -> Value {
    json!({"ok": false, "code": code, "message": message})
}
