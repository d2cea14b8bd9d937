// An S3 server for tests: npm's s3rver, with what that does not know, put-if-absent and the check of signatures of version
// 4, and with faults.
//
//   node s3_server.js S3RVER_DIRECTORY DATA_DIRECTORY
//
// Prints its port. A line of the input, `fault N KIND`, plants a fault into the N-th request from then on:
//   500, 503      that is answered, nothing is done
//   drop          the connection ends before anything is done
//   lost          all is done, but the connection ends before the answer
//   half          the answer breaks off in the middle
//   flip          a byte of the answer is another one
//   slow          the answer takes a second
//   nothing       put-if-absent is not known from now on
'use strict';

const crypto = require('crypto');
const readline = require('readline');
const S3rver = require(process.argv[2]);

let putIfAbsent = true;
let fault = null; // {left, kind}

const server = new S3rver({
  address: '127.0.0.1',
  port: 0,
  silent: true,
  directory: process.argv[3],
  configureBuckets: [{ name: 'bucket' }],
});

// Says whether the request is signed by the secret key S3RVER, by AWS' description of signature version 4.
function isSigned(ctx) {
  const parts = /^AWS4-HMAC-SHA256 Credential=S3RVER\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/
    .exec(ctx.headers.authorization || '');
  if (parts === null) return false;
  const [, day, region, signedHeaders, signature] = parts;
  for (const name of ['host', 'x-amz-content-sha256', 'x-amz-date']) {
    if (!signedHeaders.split(';').includes(name)) return false;
  }
  const encode = text =>
    encodeURIComponent(text).replace(/[!'()*]/g, c => '%' + c.charCodeAt(0).toString(16).toUpperCase());
  const query = [...new URLSearchParams(ctx.querystring)]
    .map(([name, value]) => encode(name) + '=' + encode(value)).sort().join('&');
  const headers = signedHeaders.split(';').map(name => name + ':' + ctx.headers[name].trim() + '\n').join('');
  const request = [ctx.method, ctx.path, query, headers, signedHeaders, ctx.headers['x-amz-content-sha256']].join('\n');
  const scope = [day, region, 's3', 'aws4_request'];
  const hash = crypto.createHash('sha256').update(request).digest('hex');
  const text = ['AWS4-HMAC-SHA256', ctx.headers['x-amz-date'], scope.join('/'), hash].join('\n');
  const hmac = (key, data) => crypto.createHmac('sha256', key).update(data).digest();
  return hmac(scope.reduce(hmac, 'AWS4S3RVER'), text).toString('hex') === signature;
}

async function bodyOf(ctx) {
  if (ctx.body && typeof ctx.body.pipe === 'function') {
    const parts = [];
    for await (const part of ctx.body) parts.push(part);
    return Buffer.concat(parts);
  }
  return Buffer.from(ctx.body === undefined || ctx.body === null ? '' : ctx.body);
}

// Of two puts of one name at the same time the second waits.
const busy = new Map();

server.middleware.unshift(async (ctx, next) => {
  if (!isSigned(ctx)) {
    ctx.req.resume();
    ctx.status = 403;
    ctx.body = '<Error><Code>SignatureDoesNotMatch</Code></Error>';
    return;
  }
  let kind = null;
  if (fault !== null && --fault.left === 0) {
    kind = fault.kind;
    fault = null;
  }
  if (kind === '500' || kind === '503') {
    ctx.req.resume();
    ctx.status = Number(kind);
    ctx.body = '<Error><Code>' + (kind === '503' ? 'SlowDown' : 'InternalError') + '</Code></Error>';
    return;
  }
  if (kind === 'drop') {
    ctx.respond = false;
    ctx.req.socket.destroy();
    return;
  }
  if (putIfAbsent && ctx.method === 'PUT' && ctx.headers['if-none-match'] === '*') {
    while (busy.has(ctx.path)) await busy.get(ctx.path);
    let done;
    busy.set(ctx.path, new Promise(resolve => (done = resolve)));
    try {
      const [bucket, ...key] = ctx.path.slice(1).split('/');
      if (await server.store.existsObject(bucket, key.join('/'))) {
        ctx.req.resume();
        ctx.status = 412;
        ctx.body = '<Error><Code>PreconditionFailed</Code></Error>';
      } else {
        await next();
      }
    } finally {
      busy.delete(ctx.path);
      done();
    }
  } else {
    await next();
  }
  if (kind === 'slow') await new Promise(resolve => setTimeout(resolve, 1000));
  if (kind === 'lost') {
    ctx.respond = false;
    ctx.req.socket.destroy();
  }
  if (kind === 'half' || kind === 'flip') {
    const body = await bodyOf(ctx);
    if (kind === 'flip' && body.length > 0) body[body.length >> 1] ^= 0x10;
    const type = ctx.type;
    ctx.body = body;
    if (type) ctx.type = type;
    if (kind === 'half' && body.length > 1) {
      ctx.respond = false;
      ctx.res.writeHead(ctx.status, { 'Content-Length': body.length });
      ctx.res.write(body.subarray(0, body.length >> 1), () => ctx.req.socket.destroy());
    }
  }
});

readline.createInterface({ input: process.stdin }).on('line', line => {
  const [, left, kind] = line.split(' ');
  if (kind === 'nothing') putIfAbsent = false;
  else fault = Number(left) > 0 ? { left: Number(left), kind } : null;
  process.stdout.write('done\n');
}).on('close', () => process.exit(0));

server.run().then(address => process.stdout.write(address.port + '\n'));
