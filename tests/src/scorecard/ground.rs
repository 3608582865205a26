//! What scenarios share: one Nacos for those who leave it as it is, one for those who break it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use tokio::sync::{Mutex, MutexGuard};

use crate::{Nacos, Stage};

/// The ground.
#[derive(Debug)]
pub struct Ground {
    stage: Arc<Stage>,
    /// No other test uses the stage: its Nacos may be broken as well.
    alone: bool,
    sabotage: bool,
    figures: Option<PathBuf>,
    broken: Mutex<Option<Arc<Nacos>>>,
}

impl Ground {
    /// On a stage that others use at the same time, or not.
    pub fn new(stage: Arc<Stage>, alone: bool) -> Self {
        Self { stage, alone, sabotage: false, figures: None, broken: Mutex::default() }
    }

    /// Every scenario breaks what it measures, and has to say so: no row may be unable to fail.
    #[must_use]
    pub fn sabotaged(self, sabotage: bool) -> Self {
        Self { sabotage, ..self }
    }

    /// Scenarios draw what they saw into this directory.
    #[must_use]
    pub fn drawn_into(self, figures: Option<PathBuf>) -> Self {
        Self { figures, ..self }
    }

    /// Where to draw, if anywhere.
    pub fn figures(&self) -> Option<&Path> {
        self.figures.as_deref()
    }

    /// Whether to do it badly on purpose.
    pub fn sabotage(&self) -> bool {
        self.sabotage
    }

    /// A Nacos that runs all the time.
    pub async fn nacos(&self) -> Result<&Arc<Nacos>> {
        self.stage.nacos().await
    }

    /// A Nacos to break; it has to be whole again in the end. One scenario at a time has it.
    pub async fn fragile_nacos(&self) -> Result<Fragile<'_>> {
        let mut broken = self.broken.lock().await;
        if broken.is_none() {
            *broken = Some(if self.alone { Arc::clone(self.nacos().await?) } else { Arc::new(Nacos::start().await?) });
        }
        let nacos = Arc::clone(broken.as_ref().context("started above")?);
        Ok(Fragile { nacos, _one_at_a_time: broken })
    }

    /// Stops and removes what was started for this ground alone.
    pub async fn close(self) -> Result<()> {
        let Some(nacos) = self.broken.into_inner() else { return Ok(()) };
        if self.alone {
            return Ok(());
        }
        Arc::into_inner(nacos).context("a scenario still holds its Nacos")?.remove().await
    }
}

/// A Nacos that may be killed.
#[derive(Debug)]
pub struct Fragile<'a> {
    /// It.
    pub nacos: Arc<Nacos>,
    _one_at_a_time: MutexGuard<'a, Option<Arc<Nacos>>>,
}
