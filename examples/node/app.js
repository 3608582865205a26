// order-app and user-app on Express: node app.js order|user
'use strict';

const axios = require('axios');
const express = require('express');

const nacos = require('./nacos');

const role = process.argv[2];
const port = Number(process.env.PORT);
const version = process.env.VERSION;
const stack = 'node';
const app = express();

function answer(data) {
  return { code: 200, msg: '成功！', data, success: true, fail: false };
}

// The ways in which Node services call each other.
const ways = {
  fetch: async (url) => (await fetch(url)).json(),
  axios: async (url) => (await axios.get(url)).data,
  timer: (url) => new Promise((resolve, reject) => setTimeout(() => ways.fetch(url).then(resolve, reject), 1)),
};

const users = express.Router();
users.get('/user/:userNo', (request, response) => {
  response.json(answer(`${request.params.userNo} of ${stack} - port=${port} - mateVersion=${version}`));
});

const orders = express.Router();
// `via` says how user-app is called.
orders.get('/order/:orderNo', async (request, response) => {
  const via = request.query.via ?? 'fetch';
  if (!Object.hasOwn(ways, via)) {
    response.status(400).json({ msg: `via is ${Object.keys(ways).join(', ')}` });
    return;
  }
  const said = await ways[via](`http://${await nacos.instance('user-app')}/user/U0001`);
  const own = { orderNo: request.params.orderNo, goodsName: 'G0001', userNo: 'U0001', port: String(port) };
  response.json(answer({ ...own, metaVersion: version, stack, userName: said.data }));
});

app.use(role === 'order' ? orders : users);
const server = app.listen(port, '127.0.0.1', async () => {
  await nacos.register(`${role}-app`, port, version);
});

process.on('SIGTERM', async () => {
  await nacos.deregister().catch((error) => console.error('not deregistered:', error.message));
  server.close(() => process.exit(0));
});
