// A real OpenID Connect provider (npm oidc-provider) for tests. Usage: node provider.mjs STATE.json
// What it knows and how it fails stands in STATE.json, read again with every request; SIGUSR2 rotates its key.
// Prints its address in one line.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.NODE_FOLDER}/`);
const load = async (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: Provider } = await load('oidc-provider');
const { exportJWK, generateKeyPair, SignJWT, importJWK } = await load('jose');

const state = () => JSON.parse(readFileSync(process.argv[2], 'utf8'));
const realNow = Date.now;
Date.now = () => realNow() + (state().skew ?? 0) * 1000;

let issuer;
let key;
let provider;
let keys = 0;

async function build() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  keys += 1;
  key = { ...(await exportJWK(privateKey)), kid: `key-${keys}`, use: 'sig', alg: 'RS256' };
  provider = new Provider(issuer, {
    jwks: { keys: [key] },
    clients: [{
      client_id: 'millpond',
      client_secret: 'a secret that only both of them know',
      redirect_uris: state().redirects,
      post_logout_redirect_uris: state().logouts,
    }],
    cookies: { keys: ['a key of the tests'] },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'], groups: ['groups'] },
    scopes: ['openid', 'profile', 'email', 'groups'],
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 7200, IdToken: 600, Interaction: 7200, Session: 7200 },
    findAccount: (_ctx, id) => {
      const claims = state().people[id];
      return claims && { accountId: id, claims: () => ({ sub: id, ...claims }) };
    },
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ clientId: 'millpond', accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid profile email groups');
      await grant.save();
      return grant;
    },
  });
}

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// Makes another ID token of a right one, as an attacker or a provider that is set up wrongly would.
async function forged(token, forge) {
  const [head, body, signature] = token.split('.');
  const header = { ...JSON.parse(Buffer.from(head, 'base64url')), ...forge.header };
  const claims = { ...JSON.parse(Buffer.from(body, 'base64url')), ...forge.claims };
  for (const name of forge.without ?? []) delete claims[name];
  for (const [name, seconds] of Object.entries(forge.shift ?? {})) claims[name] = Math.floor(realNow() / 1000) + seconds;
  if (forge.raw !== undefined) return forge.raw;
  if (forge.by === 'nobody') return `${encoded(header)}.${encoded(claims)}.`;
  if (forge.by === 'before') return `${encoded(header)}.${encoded(claims)}.${signature}`;
  if (forge.by === 'secret') {
    const secret = forge.secret ?? JSON.stringify({ kty: key.kty, n: key.n, e: key.e });
    const text = `${encoded(header)}.${encoded(claims)}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  }
  const signing = forge.by === 'other' ? (await generateKeyPair('RS256')).privateKey : await importJWK(key, 'RS256');
  return new SignJWT(claims).setProtectedHeader(header).sign(signing);
}

function failed(kind, response) {
  const answers = {
    html: [200, { 'content-type': 'text/html' }, '<script>alert(1)</script>'],
    broken: [200, { 'content-type': 'application/json' }, '{"keys": ['],
    list: [200, { 'content-type': 'application/json' }, '[]'],
    empty: [200, { 'content-type': 'application/json' }, '{}'],
    nothing: [204, {}, ''],
    down: [503, { 'content-type': 'application/json' }, '{}'],
    redirect: [302, { location: `${issuer}/elsewhere` }, ''],
    deep: [200, { 'content-type': 'application/json' }, '['.repeat(200000)],
    packed: [200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }, 'x'],
    huge: [200, { 'content-type': 'application/json' }, `{"x": "${'x'.repeat(3000000)}"}`],
    lying: [200, { 'content-type': 'application/json' }, JSON.stringify({ issuer: 'https://evil.example' })],
    unsafe: [200, { 'content-type': 'application/json' }, JSON.stringify({
      issuer, authorization_endpoint: 'javascript:alert(1)', token_endpoint: 'http://evil.example', jwks_uri: 'file:///etc' })],
    symmetric: [200, { 'content-type': 'application/json' }, JSON.stringify({
      keys: [{ kty: 'oct', k: Buffer.from('a secret').toString('base64url'), kid: 'key-1', alg: 'HS256' }] })],
  };
  if (kind === 'cut') return response.destroy();
  if (kind === 'slow') return undefined;
  if (kind === 'drip') {
    response.writeHead(200, { 'content-type': 'application/json' });
    const drops = setInterval(() => response.write(' '), 50);
    return response.on('close', () => clearInterval(drops));
  }
  const [status, headers, body] = answers[kind];
  response.writeHead(status, headers);
  response.end(body);
}

const requests = {};
const server = createServer(async (request, response) => {
  const path = request.url.split('?')[0];
  requests[path] = (requests[path] ?? 0) + 1;
  if (path === '/requests') return response.end(JSON.stringify(requests));
  const { fail = {}, forge } = state();
  if (fail[path]) return failed(fail[path], response);
  if (path === '/token' && forge) {
    const end = response.end.bind(response);
    response.end = async (chunk) => {
      const answer = JSON.parse(String(chunk));
      if (answer.id_token) answer.id_token = await forged(answer.id_token, forge);
      const text = JSON.stringify({ ...answer, ...forge.answer });
      response.setHeader('content-length', Buffer.byteLength(text));
      end(text);
    };
  }
  return provider.callback()(request, response);
});
process.on('SIGUSR2', () => build().then(() => console.log(`key-${keys}`)));
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  await build();
  console.log(issuer);
});
