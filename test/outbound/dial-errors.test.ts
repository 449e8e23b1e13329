import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientCertificateRefusal } from '#src/outbound/dial-errors.ts'

const alerts = {
  'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED': 'CLIENT_CERTIFICATE_EXPIRED',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'CLIENT_CERTIFICATE_EXPIRED',
  'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_REVOKED': 'CLIENT_CERTIFICATE_REVOKED',
  'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN': 'CLIENT_CERTIFICATE_UNKNOWN',
  'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE': 'CLIENT_BAD_CERTIFICATE',
  'ERR_SSL_SSL/TLS_ALERT_UNSUPPORTED_CERTIFICATE': 'CLIENT_UNSUPPORTED_CERTIFICATE',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'CLIENT_UNKNOWN_CA',
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: 'CLIENT_ACCESS_DENIED',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'CLIENT_CERTIFICATE_REQUIRED',
  'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE': undefined,
  'ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC': undefined,
  ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR: undefined,
  ERR_SSL_WRONG_VERSION_NUMBER: undefined,
  CERT_HAS_EXPIRED: undefined,
  ECONNRESET: undefined,
}
for (const [code, reason] of Object.entries(alerts)) {
  test(`clientCertificateRefusal: ${code} is ${reason ?? 'none'}`, () => {
    assert.equal(clientCertificateRefusal({ code })?.details?.['reason'], reason)
  })
}

test('clientCertificateRefusal: what is no error is none', () => {
  for (const err of [undefined, null, 'text', {}, { code: 7 }]) assert.equal(clientCertificateRefusal(err), undefined)
})
