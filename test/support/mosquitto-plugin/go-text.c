#include "go-text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void add(struct text *text, const char *bytes, size_t length)
{
	if (text->length + length + 1 > text->room) {
		text->room = 2 * (text->length + length + 1);
		text->bytes = realloc(text->bytes, text->room);
		if (text->bytes == NULL) abort();
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = 0;
}

void add_word(struct text *text, const char *word)
{
	add(text, word, strlen(word));
}

/* Bytes of the UTF-8 sequence at `at`, 0 where there is none (Unicode 15, table 3-7). */
static size_t sequence(const unsigned char *at)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
	if (at[0] == 0xe0) low = 0xa0;
	if (at[0] == 0xed) high = 0x9f;
	if (at[0] == 0xf0) low = 0x90;
	if (at[0] == 0xf4) high = 0x8f;
	for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf)
		if (at[i] < low || at[i] > high) return 0;
	return length;
}

void add_json(struct text *text, const char *value)
{
	static const char named[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
	add(text, "\"", 1);
	for (const unsigned char *at = (const unsigned char *)value; *at;) {
		char escape[8];
		const char *found = strchr(named, *at);
		size_t length = sequence(at);
		if (found != NULL) {
			snprintf(escape, sizeof escape, "\\%c", names[found - named]);
			add_word(text, escape);
		} else if (*at < 0x20 || strchr("<>&", *at) != NULL) {
			snprintf(escape, sizeof escape, "\\u%04x", *at);
			add_word(text, escape);
		} else if (length == 0) {
			add_word(text, "\\ufffd");
			length = 1;
		} else if (length == 3 && memcmp(at, "\xe2\x80", 2) == 0 && (at[2] == 0xa8 || at[2] == 0xa9)) {
			add_word(text, at[2] == 0xa8 ? "\\u2028" : "\\u2029");
		} else {
			add(text, (const char *)at, length);
		}
		at += length;
	}
	add(text, "\"", 1);
}

void add_form(struct text *text, const char *value)
{
	for (; *value; value++) {
		char escape[4];
		unsigned char byte = (unsigned char)*value;
		bool plain = byte < 0x80 && (isalnum(byte) || strchr("-_.~", byte) != NULL);
		snprintf(escape, sizeof escape, plain ? "%c" : byte == ' ' ? "+" : "%%%02X", byte);
		add_word(text, escape);
	}
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static const char *value_end(const char *at, int depth);

static const char *blank_end(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static const char *string_end(const char *at)
{
	if (*at++ != '"') return NULL;
	for (; *at != '"'; at++) {
		if ((unsigned char)*at < 0x20) return NULL; /* the end of the text as well */
		if (*at != '\\') continue;
		if (*++at == 'u') {
			for (int i = 0; i < 4; i++)
				if (!isxdigit((unsigned char)*++at)) return NULL;
		} else if (*at == 0 || strchr("\"\\/bfnrt", *at) == NULL) {
			return NULL;
		}
	}
	return at + 1;
}

static const char *number_end(const char *at)
{
	static const char digits[] = "0123456789";
	if (*at == '-') at++;
	size_t whole = strspn(at, digits);
	if (whole == 0 || (*at == '0' && whole > 1)) return NULL;
	at += whole;
	if (*at == '.') {
		size_t fraction = strspn(++at, digits);
		if (fraction == 0) return NULL;
		at += fraction;
	}
	if (*at == 'e' || *at == 'E') {
		if (*++at == '+' || *at == '-') at++;
		size_t exponent = strspn(at, digits);
		if (exponent == 0) return NULL;
		at += exponent;
	}
	return at;
}

/* An object or an array; of the outermost object `ok` gets what its member says. */
static const char *group_end(const char *at, int depth, bool *ok)
{
	bool is_object = *at++ == '{';
	char close = is_object ? '}' : ']';
	at = blank_end(at);
	if (*at == close) return at + 1;
	for (;; at++) {
		const char *name = blank_end(at), *end = name;
		if (is_object) {
			if ((end = string_end(name)) == NULL) return NULL;
			at = blank_end(end);
			if (*at++ != ':') return NULL;
		}
		const char *value = blank_end(at);
		if ((at = value_end(value, depth + 1)) == NULL) return NULL;
		if (ok != NULL && end - name == 4 && strncasecmp(name, "\"ok\"", 4) == 0) {
			if (*value != 't' && *value != 'f' && *value != 'n') return NULL; /* no bool: an error of its type */
			if (*value != 'n') *ok = *value == 't';
		}
		if (ok != NULL && end - name == 7 && strncasecmp(name, "\"error\"", 7) == 0 && *value != '"' && *value != 'n')
			return NULL;
		at = blank_end(at);
		if (*at == close) return at + 1;
		if (*at != ',') return NULL;
	}
}

static const char *value_end(const char *at, int depth)
{
	static const char *const words[] = { "true", "false", "null" };
	if (depth > 100) return NULL;
	if (*at == '{' || *at == '[') return group_end(at, depth, NULL);
	if (*at == '"') return string_end(at);
	for (size_t i = 0; i < 3; i++)
		if (strncmp(at, words[i], strlen(words[i])) == 0) return at + strlen(words[i]);
	return number_end(at);
}

bool read_answer(const char *json, bool *ok)
{
	const char *at = blank_end(json);
	const char *end = *at == '{' ? group_end(at, 0, ok) : strncmp(at, "null", 4) == 0 ? at + 4 : NULL;
	return end != NULL && *blank_end(end) == 0;
}
