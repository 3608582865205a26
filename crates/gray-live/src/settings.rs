//! Settings that follow their documents: what is good takes effect at once, what is not changes nothing.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use futures_util::future::select_all;
use gray_document::{
    Documents, Lasting, Origin, Problem, Problems, Reading, Severity, check_for,
    lasting::{self, Texts, is_blank},
};
use gray_registry::{ConfigSource, DocumentText};
use tokio::sync::watch;

use self::imports::Imports;

/// Which documents a program follows, and how they are read.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// Names of the documents; later ones win. What they import (`spring.config.import`) is followed as well.
    pub names: Vec<Arc<str>>,
    /// Profiles, and which documents may be lists.
    pub reading: Reading,
    /// What is not gone because no document mentions it any more.
    pub lasting: Vec<Lasting>,
}

/// What [`LiveSettings`] currently holds.
#[non_exhaustive]
pub struct SettingsState<T> {
    /// The last good value; `None` until there is one.
    pub current: Option<Arc<T>>,
    /// Grows by one with every value put into effect; 0 before the first.
    pub revision: u64,
    /// Why the newest documents are not (all) in effect, if they are not.
    pub refused: Option<Arc<str>>,
    /// The documents in effect, name and text, in the order in which they were read.
    pub documents: Arc<[(Arc<str>, Arc<str>)]>,
}

impl<T> SettingsState<T> {
    /// A value in effect that came from no document, as in tests.
    pub fn of(value: impl Into<Arc<T>>, revision: u64) -> Self {
        Self { current: Some(value.into()), revision, ..Self::default() }
    }
}

impl<T> Clone for SettingsState<T> {
    fn clone(&self) -> Self {
        let (current, refused, documents) = (self.current.clone(), self.refused.clone(), Arc::clone(&self.documents));
        Self { current, revision: self.revision, refused, documents }
    }
}

impl<T> Default for SettingsState<T> {
    fn default() -> Self {
        Self { current: None, revision: 0, refused: None, documents: Arc::default() }
    }
}

impl<T> fmt::Debug for SettingsState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut state = f.debug_struct("SettingsState");
        state.field("revision", &self.revision).field("refused", &self.refused).finish_non_exhaustive()
    }
}

/// A typed value that follows a set of documents.
///
/// The documents are read together once the source has answered for each. After that every change is judged: a good
/// one takes effect, a bad one is refused with one log entry and the last good value stays. A document that is
/// deleted, emptied or unreadable keeps its last text, and one in which a [`Lasting`] part is missing; what was in effect
/// when the program ran last counts, where the source remembers it. While one document is bad, good changes of the others
/// still take effect.
pub struct LiveSettings<T> {
    state: watch::Receiver<SettingsState<T>>,
    shared: Arc<ArcSwapOption<T>>,
}

impl<T: Send + Sync + 'static> LiveSettings<T> {
    /// Follows the named documents; later ones win. `read` notes its problems in the documents it is given.
    ///
    /// Must be called on a Tokio runtime; ends when the last receiver is gone.
    pub fn follow(
        source: Arc<dyn ConfigSource>,
        names: &[&str],
        read: impl Fn(&Documents) -> T + Send + Sync + 'static,
    ) -> Self {
        Self::follow_lasting(source, names, Vec::new(), read)
    }

    /// The same, with parts that are not gone because no document mentions them any more.
    pub fn follow_lasting(
        source: Arc<dyn ConfigSource>,
        names: &[&str],
        lasting: Vec<Lasting>,
        read: impl Fn(&Documents) -> T + Send + Sync + 'static,
    ) -> Self {
        let names = names.iter().map(|name| Arc::from(*name)).collect();
        Self::follow_documents(source, Followed { names, lasting, ..Followed::default() }, read)
    }

    /// The same with everything that reading depends on.
    pub fn follow_documents(
        source: Arc<dyn ConfigSource>,
        Followed { names, reading, lasting }: Followed,
        read: impl Fn(&Documents) -> T + Send + Sync + 'static,
    ) -> Self {
        let receivers = names.iter().map(|name| source.watch(name)).collect();
        let last_good: Texts = names.iter().map(|name| source.last_good(name)).collect();
        let (sender, state) = watch::channel(SettingsState::default());
        let shared = Arc::new(ArcSwapOption::empty());
        let follower = Follower {
            known: vec![None; names.len()],
            judged: None,
            applied: None,
            last_good: last_good.iter().any(Option::is_some).then_some(last_good),
            imports: Imports::new(&names),
            names,
            reading,
            lasting,
            read,
            sender,
            shared: Arc::clone(&shared),
        };
        #[expect(clippy::disallowed_methods, reason = "a background task: no request, no release context")]
        // The handle is let go: the task ends with its receivers. It keeps the source alive as long.
        drop(tokio::spawn(follower.run(source, receivers)));
        Self { state, shared }
    }

    /// A receiver of every change.
    pub fn subscribe(&self) -> watch::Receiver<SettingsState<T>> {
        self.state.clone()
    }

    /// The last good value for those who may not wait, not even for a lock: the request path.
    pub fn shared(&self) -> Arc<ArcSwapOption<T>> {
        Arc::clone(&self.shared)
    }

    /// The last good value, if there is one yet.
    pub fn current(&self) -> Option<Arc<T>> {
        self.state.borrow().current.clone()
    }

    /// Waits for the first good value; `None` when there is none within `deadline`.
    pub async fn ready(&self, deadline: Duration) -> Option<Arc<T>> {
        let mut state = self.state.clone();
        let found = tokio::time::timeout(deadline, state.wait_for(|state| state.current.is_some())).await;
        found.ok()?.ok()?.current.clone()
    }
}

impl<T> fmt::Debug for LiveSettings<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveSettings").field(&*self.state.borrow()).finish()
    }
}

struct Follower<T, R> {
    names: Vec<Arc<str>>,
    imports: Imports,
    reading: Reading,
    lasting: Vec<Lasting>,
    read: R,
    /// The last answer for each document; a source that goes silent again changes nothing.
    known: Vec<Option<DocumentText>>,
    /// What was judged last, so that nothing is judged or logged twice.
    judged: Option<Vec<Option<DocumentText>>>,
    /// What is in effect.
    applied: Option<Texts>,
    /// What was in effect when the program ran last, if that is known.
    last_good: Option<Texts>,
    sender: watch::Sender<SettingsState<T>>,
    shared: Arc<ArcSwapOption<T>>,
}

impl<T, R> Follower<T, R>
where
    T: Send + Sync + 'static,
    R: Fn(&Documents) -> T + Send + Sync + 'static,
{
    async fn run(mut self, source: Arc<dyn ConfigSource>, mut receivers: Vec<watch::Receiver<DocumentText>>) {
        loop {
            for (known, receiver) in self.known.iter_mut().zip(&mut receivers) {
                match receiver.borrow_and_update().clone() {
                    DocumentText::Unknown => {}
                    answer => *known = Some(answer),
                }
            }
            if self.follows_more(&*source) {
                receivers = self.names.iter().map(|name| source.watch(name)).collect();
                continue;
            }
            let before = self.applied.clone();
            self.judge();
            if self.applied != before {
                source.in_effect(&self.sender.borrow().documents);
            }
            if receivers.is_empty() {
                return self.sender.closed().await;
            }
            let changed = select_all(receivers.iter_mut().map(|receiver| Box::pin(receiver.changed())));
            tokio::select! {
                () = self.sender.closed() => return,
                (result, ..) = changed => if result.is_err() {
                    tracing::warn!("the source of the documents is gone; settings stay as they are");
                    return self.sender.closed().await;
                },
            }
        }
    }

    /// Looks at the newest documents and puts what is good into effect.
    fn judge(&mut self) {
        if self.known.iter().any(Option::is_none) || self.judged.as_ref() == Some(&self.known) {
            return;
        }
        self.judged = Some(self.known.clone());
        let mut problems = Problems::default();
        let Some(newest) = self.texts(&mut problems) else { return self.refuse(&problems) };
        match self.read(&newest) {
            Ok(good) => self.apply(newest, good, &problems),
            Err(errors) => {
                problems.extend(errors);
                match self.without_the_bad(&newest, &problems) {
                    Some((texts, good)) => self.apply(texts, good, &problems),
                    None => self.refuse(&problems),
                }
            }
        }
    }

    /// What was good last: in effect, or when the program ran last.
    fn reference(&self) -> Option<&Texts> {
        self.applied.as_ref().or(self.last_good.as_ref())
    }

    /// The texts to judge. A document that says nothing any more, or not what it should, keeps the text that was good last.
    /// `None`: one cannot be read, and nothing was ever good.
    fn texts(&self, problems: &mut Problems) -> Option<Texts> {
        let mut texts = Vec::with_capacity(self.names.len());
        let none = !self.known.iter().any(|known| matches!(known, Some(DocumentText::Present(_))));
        let (mut is_stuck, mut is_said) = (false, false);
        for (position, known) in self.known.iter().enumerate() {
            let name = &self.names[position];
            let good = self.reference().and_then(|good| good[position].clone());
            if self.imports.is_gone(name) {
                texts.push(None);
                continue;
            }
            let kept = good.clone().filter(|text| lasting::has_values(name, text, &self.reading));
            let (severity, message) = match (known, &kept) {
                (Some(DocumentText::Present(text)), Some(kept)) if is_blank(name, text, &self.reading) => (
                    Severity::Error,
                    format!("the document is empty now; its last text stays in effect; {}", self.remedy(name, kept)),
                ),
                (Some(DocumentText::Present(text)), _) => {
                    texts.push(Some(Arc::clone(text)));
                    continue;
                }
                (Some(DocumentText::Unreadable(reason)), _) => {
                    is_stuck |= self.reference().is_none();
                    let stays = if kept.is_some() { "; its last text stays in effect" } else { "" };
                    (Severity::Error, format!("the document cannot be read: {reason}{stays}"))
                }
                (_, Some(kept)) => (
                    Severity::Error,
                    format!("the document was deleted; its last text stays in effect; {}", self.remedy(name, kept)),
                ),
                // Said once for all of them.
                (_, None) if none && !is_said => {
                    is_said = true;
                    (Severity::Warning, self.none())
                }
                // Beside others it is optional: nothing to warn of.
                (_, None) => {
                    texts.push(good);
                    continue;
                }
            };
            let origin = Origin { document: Arc::clone(&self.names[position]), line: 0 };
            problems.push(Problem { severity, origin, path: String::new(), message });
            texts.push(good);
        }
        if is_stuck {
            return None;
        }
        if let Some(good) = self.reference() {
            let lost = lasting::lost(&self.names, good, &texts, &self.reading, &self.lasting);
            if let Some(Err(errors)) = (!lost.is_empty()).then(|| self.read(&texts)) {
                // It may say why: a key that is close to the missing one.
                let is_of = |origin: &Origin| lost.iter().any(|(at, _)| self.names[*at] == origin.document);
                problems.extend(errors.errors().filter(|error| is_of(&error.origin)).cloned());
            }
            for (position, problem) in lost {
                texts[position].clone_from(&good[position]);
                problems.push(problem);
            }
        }
        self.keep_imports(&mut texts, problems);
        Some(texts)
    }

    fn remedy(&self, name: &str, kept: &str) -> String {
        let nothing = lasting::taking_back(name, kept, &self.reading, &self.lasting);
        format!("publish it again; if it is to say nothing, write {nothing}")
    }

    /// That there is no document at all.
    fn none(&self) -> String {
        let others = self.names.iter().skip(1).map(AsRef::as_ref).collect::<Vec<&str>>();
        let nor = if others.is_empty() { String::new() } else { format!(", nor {}", others.join(", ")) };
        format!("there is no such document{nor}; what is missing counts as empty until it is published")
    }

    fn read(&self, texts: &Texts) -> Result<(T, Problems), Problems> {
        let sources: Vec<_> =
            self.names.iter().zip(texts).filter_map(|(name, text)| Some((&**name, text.as_deref()?))).collect();
        check_for(&sources, &self.reading, &self.read)
    }

    /// The newest texts with the bad ones replaced by those in effect, now or when the program ran last; if that is any news
    /// and good.
    fn without_the_bad(&self, newest: &Texts, problems: &Problems) -> Option<(Texts, (T, Problems))> {
        let good = self.reference()?;
        let bad: HashSet<_> = problems.errors().map(|problem| &problem.origin.document).collect();
        let pick = |(position, text): (usize, &Option<Arc<str>>)| {
            if bad.contains(&self.names[position]) { good[position].clone() } else { text.clone() }
        };
        let mut texts: Texts = newest.iter().enumerate().map(pick).collect();
        self.keep_imports(&mut texts, problems);
        if Some(&texts) == self.applied.as_ref() || &texts == newest {
            return None;
        }
        let good = self.read(&texts).ok()?;
        Some((texts, good))
    }

    /// Puts a value into effect, unless its texts already are. Errors in `problems` are of texts that are not used.
    fn apply(&mut self, texts: Texts, (value, warnings): (T, Problems), problems: &Problems) {
        let refused = self.log_refused(problems);
        let changed = self.applied.as_ref() != Some(&texts);
        let named = self
            .names
            .iter()
            .zip(&texts)
            .filter_map(|(name, text)| Some((Arc::clone(name), Arc::clone(text.as_ref()?))));
        let documents: Arc<[_]> = named.collect();
        if changed {
            for warning in problems.warnings().chain(warnings.iter()) {
                tracing::warn!("{warning}");
            }
            self.applied = Some(texts);
        }
        self.sender.send_modify(|state| {
            if changed {
                let value = Arc::new(value);
                self.shared.store(Some(Arc::clone(&value)));
                state.current = Some(value);
                state.revision += 1;
                state.documents = documents;
                tracing::info!(settings.revision = state.revision, "settings in effect");
            }
            state.refused = refused;
        });
    }

    fn refuse(&self, problems: &Problems) {
        let refused = self.log_refused(problems);
        self.sender.send_modify(|state| state.refused = refused);
    }

    /// One log entry with every error.
    fn log_refused(&self, problems: &Problems) -> Option<Arc<str>> {
        if !problems.has_errors() {
            return None;
        }
        let errors: Vec<_> = problems.errors().map(ToString::to_string).collect();
        let errors = errors.join("\n");
        let stays = if self.applied.is_some() { "the last good settings stay" } else { "there are no settings yet" };
        tracing::error!("documents refused, {stays}:\n{errors}");
        Some(errors.into())
    }
}

mod imports;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod import_tests;
#[cfg(test)]
mod lasting_tests;
#[cfg(test)]
mod tests;
