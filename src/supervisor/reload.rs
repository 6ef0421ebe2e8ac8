//! Another manifest in the place of the one that is served.

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::escape::OneLine;

use super::ask::Ask;
use super::backing::Backing;
use super::error::{end_of, not_ready};
use super::message::{FromWorker, Numbers, ToWorker};
use super::served::Served;
use super::view::{self, View};
use super::worker::{self, Worker};
use super::{Program, Supervisor, SupervisorError};

/// How long reading another manifest may take.
const RELOAD_MAX: Duration = Duration::from_secs(90);

impl<Start: FnMut(Program) -> Command> Supervisor<Start> {
    /// Lets another worker read the manifest anew, and serve that instead of this one.
    /// If it cannot, whoever asked is told, and this one goes on; if it can, whoever
    /// asked is told later, when a worker serves it.
    pub(super) fn reload(
        &mut self,
        served: &Served,
        serving: Worker,
        ask: Ask,
        asked: &mut Option<Ask>,
    ) -> Result<Worker, SupervisorError> {
        let loaded = ask
            .manifest
            .try_clone()
            .and_then(view::Next::new)
            .map_err(|error| error.to_string())
            .and_then(|next| self.load_next(next, &serving));
        let (next, worker) = match loaded {
            Ok(loaded) => loaded,
            Err(_) if serving.is_over() => {
                // First somebody has to serve.
                self.postponed = Some(ask);
                return Ok(serving);
            }
            Err(reason) => {
                ask.refused(&reason);
                return Ok(serving);
            }
        };
        // From here on there is no way back: the kernel is told of the new one. Whoever
        // came now would know neither what it was told nor what not.
        self.forget();
        *asked = Some(ask);
        self.before = Some(std::mem::replace(&mut self.view, next));
        self.reloads = self.reloads.saturating_add(1);
        log::info!("event=reloaded count={}", self.reloads);
        let process = worker.process().map_err(SupervisorError::Worker)?;
        self.control.works(process);
        serving.kill().map_err(SupervisorError::Worker)?;
        let mut ended = end_of(serving)?;
        if ended.has_shut_down() {
            return Err(SupervisorError::ShutDown);
        }
        ended.bury(served.mounted.connection());
        self.take_over(served, worker)
    }

    /// Has a worker read what is to follow, while another one serves. Why it cannot, in
    /// words for whoever asked.
    fn load_next(&mut self, next: view::Next, serving: &Worker) -> Result<(View, Worker), String> {
        let since = Instant::now();
        let is_useless = || serving.is_over() || since.elapsed() > RELOAD_MAX;
        let words = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => "reading the manifest takes too long".to_owned(),
            _ => error.to_string(),
        };
        let command = (self.start)(self.control.program());
        let worker = Worker::start(command, self.plan.outside.as_ref()).map_err(words)?;
        let begin = || -> io::Result<()> {
            worker.tell(&ToWorker::Begin {
                pin: None,
                manifest: worker::copy(next.manifest())?,
                backing: Backing::of(&self.plan.backing)?,
                numbers: Numbers::Following(self.view.before()?),
            })
        };
        begin().map_err(words)?;
        let max = next.numbers_max().map_err(words)?;
        let heard = worker.hear_of_manifest(is_useless, next.numbers(), max);
        match heard.map_err(words)? {
            Some(FromWorker::Loaded(digest)) => Ok((next.accept(digest).map_err(words)?, worker)),
            Some(FromWorker::Refused(reason)) => Err(OneLine(&reason).to_string()),
            other => Err(not_ready(worker, other).to_string()),
        }
    }
}
