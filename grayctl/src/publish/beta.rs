//! Documents for some gateways first: Nacos' gray publish ("beta"), by the addresses that it knows them by.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use gray_nacos::dialect::Beta;

use super::{Change, PublishArgs, Server, confirmed, diff, judge::Judging, refused, say, show, vanishes};
use crate::find::Document;

/// `--beta`: writes the documents for these addresses alone. False: nothing was written, and why is printed.
pub(super) async fn publish(
    args: &PublishArgs,
    there: &Server<'_>,
    documents: &[Document],
    judging: &Judging,
) -> Result<bool> {
    let mut changes = Vec::new();
    for document in documents {
        let (full, beta) = (there.document(&document.name).await?, there.beta(&document.name).await?);
        let change = change(document, full.as_deref(), beta.as_ref(), args);
        changes.push((document, full, change));
    }
    for (document, _, change) in &changes {
        show(&document.name, change);
    }
    let written = changes.iter().filter(|(.., change)| change.writes());
    let (written, full): (Vec<_>, Vec<_>) = written.map(|(document, full, _)| (*document, full.as_deref())).unzip();
    if written.is_empty() {
        return Ok(true);
    }
    let after = there.after(&written).await?;
    if refused(&after, written.iter().copied(), judging) | vanishes(&after, &written, &full, judging) {
        return Ok(false);
    }
    let addresses = listed(&args.beta);
    if !confirmed(args, &there.question("write", written.len(), &format!(" for {addresses} alone")))? {
        return Ok(false);
    }
    there.ensure_namespace().await?;
    for Document { name, text } in written {
        there.nacos.publish_beta(there.place(name), text, &args.beta).await?;
        say(format_args!("published  {name} for {addresses} alone; --promote or --withdraw ends it"));
    }
    Ok(true)
}

fn change(document: &Document, full: Option<&str>, beta: Option<&Beta>, args: &PublishArgs) -> Change {
    match (full, beta) {
        (Some(full), None) if full == document.text => Change::Unchanged,
        (Some(full), None) => Change::Replaced(diff::unified(full, &document.text)),
        (None, None) => Change::Published,
        (_, Some(beta)) if beta.text == document.text && is_for(beta, &args.beta) => Change::Unchanged,
        (_, Some(beta)) if args.overwrite => Change::Replaced(diff::unified(&beta.text, &document.text)),
        (_, Some(beta)) => Change::Kept(diff::unified(&beta.text, &document.text)),
    }
}

/// Whether exactly these get it.
fn is_for(beta: &Beta, addresses: &[IpAddr]) -> bool {
    let mut given: Vec<_> = beta.addresses.split(',').map(str::trim).collect();
    let mut wanted: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    given.sort_unstable();
    wanted.sort_unstable();
    given == wanted
}

/// `--promote`: what some addresses have becomes the text for all.
pub(super) async fn promote(
    args: &PublishArgs,
    there: &Server<'_>,
    names: &[String],
    judging: &Judging,
) -> Result<bool> {
    let betas = betas(there, names).await?;
    let documents: Vec<_> =
        betas.iter().map(|(name, beta)| Document { name: name.clone(), text: beta.text.clone() }).collect();
    let (written, mut full): (Vec<_>, _) = (documents.iter().collect(), Vec::new());
    for document in &documents {
        full.push(there.document(&document.name).await?);
    }
    let full: Vec<_> = full.iter().map(Option::as_deref).collect();
    let after = there.after(&written).await?;
    if refused(&after, written.iter().copied(), judging) | vanishes(&after, &written, &full, judging) {
        return Ok(false);
    }
    for (document, full) in written.iter().zip(&full) {
        show(&document.name, &Change::of(document, *full, true));
    }
    if !confirmed(args, &there.question("write", written.len(), " for all"))? {
        return Ok(false);
    }
    for Document { name, text } in written {
        // In this order no gateway sees the older text again.
        there.nacos.publish(there.place(name), text).await?;
        there.nacos.stop_beta(there.place(name)).await?;
        say(format_args!("promoted   {name}"));
    }
    Ok(true)
}

/// `--withdraw`: all have the same text again.
pub(super) async fn withdraw(args: &PublishArgs, there: &Server<'_>, names: &[String]) -> Result<bool> {
    let betas = betas(there, names).await?;
    for (name, beta) in &betas {
        let full = there.document(name).await?.unwrap_or_default();
        say(format_args!("withdraw   {name}, from {}", beta.addresses));
        diff::unified(&beta.text, &full).iter().for_each(|line| say(format_args!("    {line}")));
    }
    if !confirmed(args, &there.question("withdraw", betas.len(), " from these addresses"))? {
        return Ok(false);
    }
    for (name, _) in &betas {
        there.nacos.stop_beta(there.place(name)).await?;
        say(format_args!("withdrawn  {name}"));
    }
    Ok(true)
}

/// Those of these documents that some addresses have in another text.
async fn betas(there: &Server<'_>, names: &[String]) -> Result<Vec<(String, Beta)>> {
    let mut betas = Vec::new();
    for name in names {
        if let Some(beta) = there.beta(name).await? {
            betas.push((name.clone(), beta));
        }
    }
    ensure!(
        !betas.is_empty(),
        "{} has no gray publish of {}: expected one made by --beta; are --namespace, --group and --dir the same?",
        there.nacos,
        names.join(", ")
    );
    Ok(betas)
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use gray_nacos::dialect::Beta;

    use super::*;

    #[test]
    fn addresses_are_compared_as_a_set() {
        let addresses = ["10.0.0.8".parse().expect("an address"), "10.0.0.7".parse().expect("an address")];
        for (given, expect) in
            [("10.0.0.7,10.0.0.8", true), ("10.0.0.8, 10.0.0.7", true), ("10.0.0.7", false), ("", false)]
        {
            assert_eq!(is_for(&Beta::new("a: 1", given), &addresses), expect, "{given}");
        }
    }
}
