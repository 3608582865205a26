//! A shared cache in front of the gateway: Varnish, with cookies and all.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use e2e_tests::{Answer, App, Http, eventually, ports};
use tempfile::TempDir;
use tokio::process::Command;

use super::site::{Mechanism, Site, USERS};

/// Keeps what the answers let it keep: without this, no request with a cookie would be answered from the cache.
const VCL: &str = "vcl 4.1;
backend gateway { .host = \"127.0.0.1\"; .port = \"@PORT@\"; }
sub vcl_recv {
  # The same for everybody.
  if (req.url ~ \"^/assets/\") { unset req.http.Cookie; }
  if (req.method == \"GET\" || req.method == \"HEAD\") { return (hash); }
}
sub vcl_deliver { set resp.http.x-hits = obj.hits; }
";

/// What came out of the cache, by path: answers, and those of them that it had.
type Hits = BTreeMap<String, (usize, usize)>;

struct Cache {
    app: App,
    url: String,
    http: Http,
    hits: Hits,
    _dir: TempDir,
}

impl Cache {
    async fn start(varnish: &Path, gateway: &str) -> Result<Self> {
        let (_, gateway_port) = gateway.rsplit_once(':').context("the gateway has a port")?;
        let dir = tempfile::tempdir()?;
        let vcl = dir.path().join("front.vcl");
        fs::write(&vcl, VCL.replace("@PORT@", gateway_port))?;
        let [port] = ports::free()?;
        let mut command = Command::new(varnish);
        command.args(["-F", "-j", "none", "-s", "malloc,32m", "-a", &format!("127.0.0.1:{port}")]);
        command.arg("-n").arg(dir.path().join("work")).arg("-f").arg(&vcl);
        let app = App::spawn("varnishd", command)?;
        let (url, http) = (format!("http://127.0.0.1:{port}"), Http::kept()?);
        eventually("the cache answers", || async { http.get(&format!("{url}/logo.svg"), &[]).await?.expect(200) })
            .await
            .with_context(|| app.log())?;
        Ok(Self { app, url, http, hits: Hits::new(), _dir: dir })
    }

    async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let answer = self.http.get(&format!("{}{path}", self.url), headers).await?.expect(200)?;
        let had = answer.header("x-hits").is_some_and(|hits| hits != "0");
        let known = path.split('/').take(3).collect::<Vec<_>>().join("/");
        let (all, hits) = self.hits.entry(known).or_default();
        (*all, *hits) = (*all + 1, *hits + usize::from(had));
        Ok(answer)
    }

    fn hits(&self, path: &str) -> usize {
        self.hits.iter().filter(|(known, _)| known.starts_with(path)).map(|(_, (_, hits))| hits).sum()
    }
}

/// Two users through one cache: what each of them gets is of their version. Returns how many answers were not.
async fn mixed(cache: &mut Cache, site: &Site, rounds: usize) -> Result<usize> {
    let (mut mixed, mut decided) = (0, 0);
    for round in 0..rounds {
        let first = usize::from(round % 4 >= 2);
        if first != decided {
            // Others are in front now. What the cache may use for a time is as old as that; what it has to ask for is not.
            site.decide(first).await?;
            decided = first;
        }
        for (user, name) in USERS.iter().enumerate() {
            let (cookie, version) = (format!("uid={name}"), Site::version(user, first));
            let page = cache.get("/", &[("cookie", &cookie)]).await?;
            mixed += usize::from(!page.text.contains(&format!("data-version=\"{version}\"")));
            let names = &site.names[usize::from(version == "V2")];
            for file in names {
                let asset = cache.get(&format!("/assets/{file}"), &[("cookie", &cookie)]).await?;
                mixed += usize::from(!asset.text.contains(version));
            }
            // The call of the page.
            let order = cache.get("/order-api/order/N0001", &[("cookie", &cookie), ("x-page", version)]).await?;
            mixed += usize::from(order.versions() != Some((version.to_owned(), version.to_owned())));
        }
    }
    Ok(mixed)
}

pub(super) async fn never_mixes(varnish: &Path, rounds: usize) -> Result<()> {
    let site = Site::start(Mechanism::On).await?;
    let mut cache = Cache::start(varnish, site.lab.url()?).await?;
    let found = mixed(&mut cache, &site, rounds).await?;
    eprintln!("behind varnish: {found} mixed; answers and hits: {:?}", cache.hits);
    ensure!(found == 0, "{found} answers of the wrong version through the cache");
    ensure!(cache.hits("/assets/") > 0, "no versioned file came out of the cache: {:?}", cache.hits);
    ensure!(cache.hits("/order-api") > 0, "no answer of an instance came out of the cache: {:?}", cache.hits);
    ensure!(cache.hits.get("/").is_some_and(|(_, hits)| *hits == 0), "a page came out of the cache: {:?}", cache.hits);
    cache.app.stop().await?;

    let site = Site::start(Mechanism::Off).await?;
    let mut cache = Cache::start(varnish, site.lab.url()?).await?;
    let found = mixed(&mut cache, &site, 2).await?;
    cache.app.stop().await?;
    if found == 0 {
        bail!("without the settings nothing was mixed either, so this test shows nothing: {:?}", cache.hits);
    }
    eprintln!("behind varnish, without the settings: {found} mixed");
    Ok(())
}
