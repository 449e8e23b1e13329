import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface Identity {
  readonly certificate: string
  readonly key: string
  readonly certificateFile: string
  readonly keyFile: string
}

export interface Certificates {
  readonly ca: string
  readonly caFile: string
  /** A CA that signed nothing here. */
  readonly otherCa: string
  readonly otherCaFile: string
  /** `localhost`, 127.0.0.1, ::1. */
  readonly server: Identity
  /** As `server`, but its life ended in 2021. */
  readonly expired: Identity
  /** Valid, for `broker.example` only. */
  readonly wrongName: Identity
  readonly client: Identity
  /** A client of the other CA. */
  readonly foreignClient: Identity
  /** As `client`, but its life ended in 2021. */
  readonly expiredClient: Identity
  /** As `server`, but signed by nobody else. */
  readonly selfSigned: Identity
  /** As `server`, with a key of RSA that is too short: 1,024 bits. */
  readonly weak: Identity
  remove(): Promise<void>
}

const CA_CONFIG = `[ca]
default_ca = d
[d]
database = index.txt
serial = serial.txt
new_certs_dir = .
default_md = sha256
policy = p
unique_subject = no
[p]
commonName = supplied
`

/** Runs one openssl command in `dir`; words are separated by single spaces. */
async function openssl(dir: string, command: string): Promise<void> {
  await run('openssl', command.split(' '), { cwd: dir })
}

const NEW_KEY = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
const WEAK_KEY = '-newkey rsa:1024 -nodes'

async function createAuthority(dir: string, name: string): Promise<string> {
  const extensions = '-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign'
  const files = `-keyout ${name}.key -out ${name}.crt`
  await openssl(dir, `req -x509 ${NEW_KEY} -days 3650 -subj /CN=sealwire-test-${name} ${extensions} ${files}`)
  return join(dir, `${name}.crt`)
}

interface Request {
  name: string
  subject: string
  altNames: string
  usage: 'serverAuth' | 'clientAuth'
  authority?: string
  ends?: string
  newKey?: string
}

async function createIdentity(dir: string, request: Request): Promise<Identity> {
  const { name, subject, altNames, usage, authority = 'ca', ends = '20491231235959Z', newKey = NEW_KEY } = request
  const extensions = `subjectAltName=${altNames}\nextendedKeyUsage=${usage}\nkeyUsage=digitalSignature\n`
  await writeFile(join(dir, `${name}.ext`), `${extensions}basicConstraints=CA:FALSE\n`)
  await openssl(dir, `req ${newKey} -subj /CN=${subject} -keyout ${name}.key -out ${name}.csr`)
  const signer = `-cert ${authority}.crt -keyfile ${authority}.key -startdate 20200101000000Z -enddate ${ends}`
  const files = `-extfile ${name}.ext -in ${name}.csr -out ${name}.crt`
  await openssl(dir, `ca -batch -notext -rand_serial -config ca.cnf ${signer} ${files}`)
  return readIdentity(dir, name)
}

async function readIdentity(dir: string, name: string): Promise<Identity> {
  const [certificateFile, keyFile] = [join(dir, `${name}.crt`), join(dir, `${name}.key`)]
  const [certificate, key] = await Promise.all([readFile(certificateFile, 'utf8'), readFile(keyFile, 'utf8')])
  return { certificate, key, certificateFile, keyFile }
}

async function createSelfSigned(dir: string, name: string, altNames: string): Promise<Identity> {
  const extensions = `-addext subjectAltName=${altNames} -addext extendedKeyUsage=serverAuth`
  await openssl(
    dir,
    `req -x509 ${NEW_KEY} -days 3650 -subj /CN=localhost ${extensions} -keyout ${name}.key -out ${name}.crt`,
  )
  return readIdentity(dir, name)
}

/** Makes, with the openssl command, the certificates that TLS tests need; each differs from its twin in one thing. */
export async function createCertificates(): Promise<Certificates> {
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-certificates-'))
  await Promise.all([writeFile(join(dir, 'ca.cnf'), CA_CONFIG), writeFile(join(dir, 'index.txt'), '')])
  const caFile = await createAuthority(dir, 'ca')
  const otherCaFile = await createAuthority(dir, 'other-ca')
  const here = 'DNS:localhost,IP:127.0.0.1,IP:::1'
  const usage = 'serverAuth'
  const server = await createIdentity(dir, { name: 'server', subject: 'localhost', altNames: here, usage })
  const expired = await createIdentity(dir, {
    name: 'expired',
    subject: 'localhost',
    altNames: here,
    usage,
    ends: '20210101000000Z',
  })
  const elsewhere = { subject: 'broker.example', altNames: 'DNS:broker.example' }
  const wrongName = await createIdentity(dir, { name: 'wrong-name', ...elsewhere, usage })
  const device = { subject: 'device-1', altNames: 'DNS:device-1', usage: 'clientAuth' } as const
  const client = await createIdentity(dir, { name: 'client', ...device })
  const foreignClient = await createIdentity(dir, { name: 'foreign-client', ...device, authority: 'other-ca' })
  const expiredClient = await createIdentity(dir, { name: 'expired-client', ...device, ends: '20210101000000Z' })
  const selfSigned = await createSelfSigned(dir, 'self-signed', here)
  const weak = await createIdentity(dir, {
    name: 'weak',
    subject: 'localhost',
    altNames: here,
    usage,
    newKey: WEAK_KEY,
  })
  return {
    ca: await readFile(caFile, 'utf8'),
    caFile,
    otherCa: await readFile(otherCaFile, 'utf8'),
    otherCaFile,
    server,
    expired,
    wrongName,
    client,
    foreignClient,
    expiredClient,
    selfSigned,
    weak,
    remove: () =>
      rm(dir, {
        recursive: true,
        force: true,
      }),
  }
}
