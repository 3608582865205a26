// Nacos by its open API (v1, as 2.x has it): registers an instance, keeps it alive, finds those of others.
'use strict';

const address = process.env.NACOS ?? '127.0.0.1:8848';
const namespaceId = process.env.NAMESPACE || 'public';
const ip = process.env.HOST ?? '127.0.0.1';
const BEAT = 5_000;
const FRESH = 5_000;
const known = new Map();
let own;
let timer;

async function call(method, path, form) {
  const response = await fetch(`http://${address}/nacos/v1/ns/${path}?${new URLSearchParams(form)}`, { method });
  if (!response.ok) throw new Error(`Nacos: ${response.status} ${await response.text()}`);
  return response;
}

exports.register = async (serviceName, port, version) => {
  own = { namespaceId, serviceName, ip, port };
  const metadata = { version };
  await call('POST', 'instance', { ...own, metadata: JSON.stringify(metadata) });
  const beat = JSON.stringify({ ...own, metadata });
  timer = setInterval(() => {
    call('PUT', 'instance/beat', { ...own, beat }).catch((error) => console.error('no beat:', error.message));
  }, BEAT);
};

exports.deregister = async () => {
  clearInterval(timer);
  await call('DELETE', 'instance', own);
};

// `host:port` of any instance of a service.
exports.instance = async (serviceName) => {
  let { when, hosts } = known.get(serviceName) ?? { when: -Infinity };
  if (performance.now() - when > FRESH) {
    const list = await call('GET', 'instance/list', { namespaceId, serviceName, healthyOnly: true });
    ({ hosts } = await list.json());
    known.set(serviceName, { when: performance.now(), hosts });
  }
  const host = hosts[Math.floor(Math.random() * hosts.length)];
  return `${host.ip}:${host.port}`;
};
