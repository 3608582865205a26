// @VERSION@. Keeps what has a name of its own for ever, and asks for everything else; a page it has is for want of a network.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", event => event.waitUntil(self.clients.claim()));

async function versioned(request) {
  const cache = await caches.open("versioned");
  const known = await cache.match(request);
  if (known) return known;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request, answer.clone());
  return answer;
}

async function page(request) {
  const cache = await caches.open("pages");
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put("/", answer.clone());
    return answer;
  } catch (error) {
    const known = await cache.match("/");
    if (known) return known;
    throw error;
  }
}

self.addEventListener("fetch", event => {
  const { pathname } = new URL(event.request.url);
  if (pathname.startsWith("/assets/")) event.respondWith(versioned(event.request));
  else if (event.request.mode === "navigate") event.respondWith(page(event.request));
});
