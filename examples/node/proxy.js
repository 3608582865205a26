// Preload: fetch of Node 20 and 22 ignores HTTP_PROXY; this makes it go there. `node --require ./proxy.js`
'use strict';

const { ProxyAgent, setGlobalDispatcher } = require('undici');

// Without a tunnel: the proxy sees the request, which a CONNECT would hide from it.
setGlobalDispatcher(new ProxyAgent({ uri: process.env.HTTP_PROXY, proxyTunnel: false }));
