/* Texts as Go's encoding/json and net/url write them, and the one answer that it reads. */
#ifndef GO_TEXT_H
#define GO_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Always ends with a zero that does not count, once something was added. */
struct text {
	char *bytes;
	size_t length, room;
};

void add(struct text *text, const char *bytes, size_t length);
void add_word(struct text *text, const char *word);

/* A JSON string with its quotes: what HTML means something by is escaped, what is no UTF-8 becomes U+FFFD. */
void add_json(struct text *text, const char *value);

/* url.QueryEscape: a space is a plus sign. */
void add_form(struct text *text, const char *value);

/* Reads `{"ok": …, "error": …}`, names in any case, other members left aside; false where json.Unmarshal gives an error. */
bool read_answer(const char *json, bool *ok);

#endif
