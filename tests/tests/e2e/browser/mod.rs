//! Front-end gray in a real browser: page, script, style, what is loaded later and the answers of services are of one version,
//! whatever changes in between. `make test-browser` is the long form.

mod cache;
mod driver;
mod site;

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use e2e_tests::eventually;
use libtest_mimic::Trial;
use serde_json::Value;
use tokio::{runtime::Runtime, sync::Mutex, time::sleep};

use self::{
    driver::Browser,
    site::{Mechanism, Site, USERS},
};

/// How often a page is loaded, unless the long form says otherwise.
const LOADS: usize = 60;
/// One in so many is loaded while nothing changes, and must be of the user's version, not only of one.
const CALM: usize = 6;
/// What is loaded without what keeps versions apart, until it shows.
const CONTROL: usize = 200;

/// The tests, ignored where there is no browser or no cache.
pub(crate) fn trials(runtime: &Runtime) -> Vec<Trial> {
    let (driver, chromium, varnish) = (find("chromedriver"), find("chromium"), find("varnishd"));
    let loads = env::var("BROWSER_LOADS").ok().and_then(|loads| loads.parse().ok()).unwrap_or(LOADS);
    let (pages, caches) = (runtime.handle().clone(), runtime.handle().clone());
    let has_browser = driver.is_some() && chromium.is_some();
    if !has_browser || varnish.is_none() {
        eprintln!("browser: chromium, chromedriver or varnishd is not here (scripts/ensure-tools.sh): SKIPPED");
    }
    let (is_cached, browser) = (varnish.is_some(), driver.zip(chromium));
    let failed = |error: anyhow::Error| format!("{error:#}").into();
    vec![
        Trial::test("browser::a_page_is_of_one_version", move || {
            let (driver, chromium) = browser.ok_or("no browser")?;
            pages.block_on(pages_of_one_version(driver, chromium, loads)).map_err(failed)
        })
        .with_ignored_flag(!has_browser),
        Trial::test("browser::a_shared_cache_never_mixes_versions", move || {
            let varnish = varnish.ok_or("no varnish")?;
            caches.block_on(cache::never_mixes(&varnish, loads / 5)).map_err(failed)
        })
        .with_ignored_flag(!is_cached),
    ]
}

fn find(program: &str) -> Option<PathBuf> {
    let mut directories = env::split_paths(&env::var_os("PATH")?).collect::<Vec<_>>();
    // Where Debian has varnishd, which is not on everybody's path.
    directories.push("/usr/sbin".into());
    directories.into_iter().map(|directory| directory.join(program)).find(|path| path.is_file())
}

async fn pages_of_one_version(driver: PathBuf, chromium: PathBuf, loads: usize) -> Result<()> {
    let seen = with_browser(&driver, &chromium, Mechanism::On, loads).await?;
    eprintln!("{loads} loads: {seen:?}");
    ensure!(seen.mixed.is_empty(), "{} of {loads} pages are mixed: {:?}", seen.mixed.len(), seen.mixed);
    ensure!(seen.by_version.iter().all(|count| *count > loads / 10), "both versions are loaded: {seen:?}");
    ensure!(seen.kept > loads / 4, "the service worker keeps files: {seen:?}");
    ensure!(seen.changes > loads / 20, "something changes meanwhile: {seen:?}");

    let seen = with_browser(&driver, &chromium, Mechanism::Off, CONTROL).await?;
    eprintln!("without what keeps versions apart: {seen:?}");
    ensure!(
        !seen.mixed.is_empty(),
        "nothing was mixed in {CONTROL} loads either, so this test shows nothing: {seen:?}"
    );
    Ok(())
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    /// Loads that were of V1 and of V2.
    by_version: [usize; 2],
    /// What pages were made of that were not of one version.
    mixed: Vec<Value>,
    /// Loads for which the service worker had a file.
    kept: usize,
    /// Changes of the rules and of the cookie while pages were loaded.
    changes: usize,
}

async fn with_browser(driver: &Path, chromium: &Path, mechanism: Mechanism, loads: usize) -> Result<Seen> {
    let site = Arc::new(Site::start(mechanism).await?);
    let browser = Browser::start(driver, chromium).await?;
    let visit = Visit { site: &site, browser: &browser, seen: Seen::default(), user: 0 };
    let outcome = visit.run(mechanism, loads).await;
    let quit = browser.quit().await;
    let seen = outcome?;
    quit.map(|()| seen)
}

struct Visit<'v> {
    site: &'v Arc<Site>,
    browser: &'v Browser,
    seen: Seen,
    user: usize,
}

impl Visit<'_> {
    async fn run(mut self, mechanism: Mechanism, loads: usize) -> Result<Seen> {
        let url = format!("{}/", self.site.lab.url()?);
        self.browser.open(&url).await?;
        self.made().await?;
        let tabs = [self.browser.tab().await?, self.browser.new_tab().await?];
        self.browser.switch_to(&tabs[1]).await?;
        self.browser.open(&url).await?;
        self.made().await?;
        // Who is on V1. Held while the rules change, and while nothing may.
        let first = Arc::new(Mutex::new((0, 0)));
        let changing = change(Arc::clone(self.site), Arc::clone(&first));
        let loading = async {
            for load in 0..loads {
                if load.is_multiple_of(10) {
                    self.browser.switch_to(&tabs[load / 10 % 2]).await?;
                }
                if load.is_multiple_of(7) {
                    self.browser.forget().await?;
                    self.browser.run_at_last("caches.delete('versioned')").await?;
                }
                if mechanism == Mechanism::On && load.is_multiple_of(CALM) {
                    let first = first.lock().await;
                    self.calm(first.0, &tabs[load / 10 % 2], &tabs[1 - load / 10 % 2]).await?;
                } else {
                    self.stormy(load).await.with_context(|| format!("load {load}"))?;
                }
                if mechanism == Mechanism::Off && !self.seen.mixed.is_empty() {
                    break;
                }
            }
            anyhow::Ok(())
        };
        tokio::select! {
            loaded = loading => loaded?,
            changed = changing => changed?,
        }
        self.seen.changes += first.lock().await.1;
        Ok(self.seen)
    }

    /// A load while the rules and the cookie change.
    async fn stormy(&mut self, load: usize) -> Result<()> {
        let how = if load.is_multiple_of(3) { "location.reload()" } else { "location.assign('/?' + Math.random())" };
        self.browser.run_at_last(&format!("window.result = undefined; setTimeout(() => {how}, 0)")).await?;
        if load.is_multiple_of(2) {
            sleep(Duration::from_millis(fastrand::u64(0..150))).await;
            self.user = 1 - self.user;
            self.be(self.user).await?;
            self.seen.changes += 1;
        }
        let made = self.made().await?;
        self.count(made);
        Ok(())
    }

    /// Loads while nothing changes: by address, again, and in the other tab. The page that was loaded before stays whole.
    async fn calm(&mut self, first: usize, tab: &Value, other: &Value) -> Result<()> {
        self.user = fastrand::usize(0..2);
        self.be(self.user).await?;
        let version = Site::version(self.user, first);
        for (how, other_tab) in
            [("location.assign('/')", false), ("location.reload()", false), ("location.reload()", true)]
        {
            if other_tab {
                self.browser.switch_to(other).await?;
                let before = self.browser.run("return document.documentElement.dataset.version").await?;
                // It may be one of before, of the other version: its calls go to its own, and change nothing for others.
                let called = self.browser.run("return window.call()").await?;
                ensure!(called == serde_json::json!([before, before]), "a page of {before} is answered by {called}");
            }
            self.browser.run(&format!("window.result = undefined; setTimeout(() => {how}, 0)")).await?;
            let made = self.made().await?;
            ensure!(made["parts"][0] == version, "{} is decided for {version} and gets {made}", USERS[self.user]);
            let cookie = self.browser.run("return document.cookie").await?;
            let is_told = cookie.as_str().is_some_and(|cookie| cookie.contains("release=new"));
            ensure!(is_told == (version == "V2"), "the cookie says {cookie} on {version}");
            self.count(made);
        }
        self.browser.switch_to(tab).await
    }

    /// The browser is this user's from now on.
    async fn be(&self, user: usize) -> Result<()> {
        let script = format!("document.cookie = 'uid={}; Path=/; SameSite=Lax'", USERS[user]);
        self.browser.run_at_last(&script).await.map(drop)
    }

    /// What the page is made of, once it is there.
    async fn made(&self) -> Result<Value> {
        eventually("the page is made", || async {
            let made = self.browser.run("return window.result || null").await?;
            ensure!(!made.is_null(), "not yet");
            Ok(made)
        })
        .await
    }

    fn count(&mut self, made: Value) {
        let parts = made["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_whole = parts.len() == 6 && parts.iter().all(|part| part == &parts[0]);
        if !is_whole {
            self.seen.mixed.push(made);
            return;
        }
        self.seen.by_version[usize::from(parts[0] == "V2")] += 1;
        self.seen.kept += usize::from(made["kept"] == true);
    }
}

/// Changes the rules again and again, at random moments.
async fn change(site: Arc<Site>, first: Arc<Mutex<(usize, usize)>>) -> Result<()> {
    for _ in 0..100_000 {
        sleep(Duration::from_millis(fastrand::u64(20..400))).await;
        let mut first = first.lock().await;
        let next = 1 - first.0;
        site.decide(next).await?;
        *first = (next, first.1 + 1);
    }
    bail!("the loads take for ever")
}
