// The page of one version: it loads a part of itself later, calls a service, and says what it is made of.
const version = "@VERSION@";
// Only the page itself knows of which version it is; the rules believe it.
const headers = @PINNED@ ? { "x-page": version } : {};
const pause = () => new Promise(resolve => setTimeout(resolve, 40 * Math.random()));

window.call = async () => {
  const answer = await fetch("/order-api/order/N0001", { headers, cache: "no-store" });
  if (!answer.ok) throw new Error(`${answer.status} of the service`);
  const { data } = await answer.json();
  return [data.metaVersion, data.userName.split("mateVersion=")[1]];
};

async function parts() {
  const worker = "serviceWorker" in navigator && @WORKER@;
  if (worker) await navigator.serviceWorker.register("/sw.js");
  const kept = worker && (await caches.match("/assets/@LAZY@")) !== undefined;
  const style = getComputedStyle(document.documentElement).getPropertyValue("--version").trim();
  await pause();
  const lazy = await import("/assets/@LAZY@");
  await pause();
  const [order, user] = await window.call();
  const page = document.documentElement.dataset.version;
  return { parts: [page, version, style, lazy.version, order, user], kept };
}

// Style sheets count as well.
const loaded = new Promise(resolve => addEventListener("load", resolve));
loaded.then(parts).then(
  made => { window.result = made; },
  error => { window.result = { error: String(error) }; },
);
