import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attacks, disguised, harmless } from './attack-table.ts'
import { allPatterns, classOf, guardsOf, publish } from './fixtures.ts'

const guards = guardsOf({ inspection: { enabled: true, patterns: allPatterns } })

for (const [name, rows] of Object.entries(attacks)) {
  for (const [text, published] of rows) {
    test(`${name}: ${JSON.stringify(text)} is caught${published ? '' : '; the published agent lets it through'}`, () => {
      assert.equal(classOf(guards, text), name)
    })
  }
}

for (const [text, blockedByPublished] of harmless) {
  const beside = blockedByPublished ? '; the published agent blocks it' : ''
  test(`${JSON.stringify(text)} passes${beside}`, () => assert.equal(classOf(guards, text), null))
}

/** Payloads as devices, home automation and brokers publish them. */
const traffic = [
  '23.5',
  'ON',
  '23.5\0',
  '',
  '{"state":"ON","brightness":254,"color":{"x":0.3127,"y":0.329}}',
  '{"name":"Kitchen \\"main\\" lamp","unique_id":"0x00158d0001","cmd_t":"~/set","~":"home/kitchen"}',
  "{'color': '#ff0000', 'effect': 'none'}",
  "mosquitto_pub -h broker -m 'hello' --retain",
  "name = 'lamp' # the one in the hall",
  'Backlog Power1 ON; Delay 20; Power1 OFF',
  'G1 X10 Y20 F1500 ; move to the corner\nM104 S200 ; set temperature',
  'weather,location=us-midwest temperature=82,humidity=71 1465839830100400200',
  '$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47',
  'time;temperature;humidity\n12:00;23,5;60\n12:01;23,6;61',
  'id: 5\nname: pump\nid_of_parent: 4\n',
  '{{ value_json.temperature | round(1) }} {% if value == 1 or value == 2 %}on{% endif %}',
  'https://example.com/a?x=1&y=2&id=5&sort=asc&cmd=reboot',
  'data:image/jpeg;base64,/9j/4AAQSkZJRgABAQEAYABgAAD',
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U',
  '<device id="7" online="true" once="no" name="R&amp;D"><relay on="1"/></device>',
  'Languages: JavaScript: 5, Python: 3',
  'The head of the sales team said: find out more; then tell the cat.',
  'Select a union representative, then drop it on the table.',
  'Please insert into slot 3, delete from list, and update the docs.',
  'import time\ntime.sleep(5)\n',
  'a\r\nb\r\nc\r\n',
  'rain or 5 mm = ok, R & D, Q&A, AT&T, 1 & 2',
  '3 > 2 && 1 < 2 || x',
  'Loading ...\nDone ...\\o/',
  'temp/+/state and $SYS/# and a//b',
  '[1,2,3,{"a":[null,true,false,-1.5e-3]}]',
  'NO; NC; COM',
  '50% humidity, 100%25, %zz',
]

for (const text of traffic) {
  test(`ordinary traffic passes: ${JSON.stringify(text.slice(0, 60))}`, () => {
    assert.deepEqual(publish(guards, text).refusal, null)
  })
}

for (const [text, name] of disguised) {
  test(`a disguise does not help: ${JSON.stringify(text)}`, () => assert.equal(classOf(guards, text), name))
}

test('every class is found, and the first of the order is the one that is reported', () => {
  const { refusal } = publish(guards, "<script>x</script> ../a ; id\n' or 1=1--")
  assert.deepEqual(refusal?.classes, ['sqli', 'cmd', 'xss', 'path'])
  assert.equal(refusal?.class, 'sqli')
  assert.equal(refusal?.rule, 'inspection-blocked')
})

test('a class that is off finds nothing', () => {
  for (const [key, name] of Object.entries({
    sqli: 'sqli',
    'command-injection': 'cmd',
    'script-injection': 'xss',
    'path-traversal': 'path',
  })) {
    const others = { ...allPatterns, [key]: false }
    const one = guardsOf({ inspection: { enabled: true, patterns: others } })
    for (const [text] of attacks[name] ?? assert.fail(name)) assert.notEqual(classOf(one, text), name)
  }
})

test('invalid bytes hide nothing', () => {
  const payload = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('; rm -rf /')])
  assert.equal(classOf(guards, payload), 'cmd')
})

test('binary with bytes of zero passes: NUL counts where it was encoded', () => {
  assert.equal(classOf(guards, Uint8Array.from([8, 0, 0, 1, 65, 66, 0, 0])), null)
})
