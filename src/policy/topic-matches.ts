/**
 * Reports whether an MQTT topic filter matches a topic name. Pure and total; validate both first, and take a share
 * prefix off the filter.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (wildcards), §4.7.2 (topics beginning with `$`)
 */
export function topicMatches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false // [MQTT-4.7.2-1]
  const wanted = filter.split('/')
  const actual = topic.split('/')
  for (const [i, level] of wanted.entries()) {
    if (level === '#') return true // matches the parent level too
    if (i >= actual.length) return false
    if (level !== '+' && level !== actual[i]) return false
  }
  return wanted.length === actual.length
}
