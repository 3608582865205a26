//! Parts of documents for profiles that are not active: they are looked at all the same.

use gray_document::{Profiles, Purpose, Reading, Severity};

use super::{Question, Run, Verdict, lacks_routes, whole};

/// Most profiles that are looked at.
const MOST: usize = 8;
/// Most that are named in a message.
const NAMED: usize = 3;

/// Reads the documents for each profile that they name. What is found there alone is added with its profiles, and what is found
/// without one alone is marked so; returned are those
/// with routes, and how many there are.
pub(super) fn look(question: &Question<'_>, named: &[String], verdict: &mut Verdict) -> Vec<(String, usize)> {
    let mut routes = Vec::new();
    let (mut problems, mut findings) = (Vec::new(), Vec::new());
    let mut is_elsewhere = vec![false; verdict.problems.len()];
    for name in named.iter().take(MOST) {
        let Ok(profiles) = name.parse::<Profiles>() else { continue };
        let reading = Reading { profiles, ..question.reading.clone() };
        let run = Run::of(question, &reading, Purpose::CheckAgain).verdict;
        let count = run.read.as_ref().map_or(0, |read| read.routes.routes().len());
        if count > 0 && lacks_routes(question, &reading).is_none() {
            routes.push((name.clone(), count));
        }
        for (is_elsewhere, problem) in is_elsewhere.iter_mut().zip(&verdict.problems) {
            *is_elsewhere |= problem.severity == Severity::Note || run.problems.contains(problem);
        }
        collect(&mut problems, run.problems.into_iter().filter(|problem| !verdict.problems.contains(problem)), name);
        collect(&mut findings, run.findings.into_iter().filter(|finding| !verdict.findings.contains(finding)), name);
    }
    let here_alone = verdict.problems.iter_mut().zip(is_elsewhere).filter(|(_, is_elsewhere)| !is_elsewhere);
    for (problem, _) in here_alone.filter(|_| !named.is_empty()) {
        problem.message.push_str(" (without a profile)");
    }
    let with = |profiles: &[String]| format!(" (with --profile {})", profiles.join(", or "));
    for (mut problem, profiles) in problems {
        problem.message.push_str(&with(&profiles));
        verdict.problems.push(problem);
    }
    for (mut finding, profiles) in findings {
        finding.message.push_str(&with(&profiles));
        verdict.findings.push(finding);
    }
    if let Some(others) = named.get(MOST..).filter(|others| !others.is_empty()) {
        let document = question.sources.last().map_or("(no document)", |(name, _)| *name);
        let message = format!("parts for more than {MOST} profiles: check {} by --profile, each", others.join(", "));
        verdict.problems.push(whole(Severity::Note, document, String::new(), message));
    }
    routes
}

fn collect<T: PartialEq>(all: &mut Vec<(T, Vec<String>)>, found: impl Iterator<Item = T>, profile: &str) {
    for one in found {
        match all.iter_mut().find(|(other, _)| *other == one) {
            Some((_, profiles)) => profiles.push(profile.to_owned()),
            None => all.push((one, vec![profile.to_owned()])),
        }
    }
}

/// What to say where only parts for profiles have routes.
pub(super) fn hint(routes: &[(String, usize)]) -> Option<String> {
    let there = |count: usize| if count == 1 { "there is 1".to_owned() } else { format!("there are {count}") };
    let with = |(name, count): &(String, usize)| format!("with --profile {name} {}", there(*count));
    let mut parts: Vec<_> = routes.iter().take(NAMED).map(with).collect();
    if routes.len() > NAMED {
        parts.push(format!("and so on for {} more", routes.len() - NAMED));
    }
    (!parts.is_empty()).then(|| format!("no routes without a profile; {}", parts.join(", ")))
}
