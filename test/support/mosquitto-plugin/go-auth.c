/*
 * A plugin for Mosquitto 2 (interface version 4) that asks a service over HTTP in the words of mosquitto-go-auth: its
 * backends `http` and `jwt` (remote), one of them, without cache and retries, over plain HTTP. It stands for it in tests,
 * because that is written in Go and no longer maintained. It follows no redirect, unlike it.
 *
 * Options, each with the prefix auth_opt_: backends (http or jwt), disable_superuser; and with that of the backend:
 * host, port, getuser_uri, aclcheck_uri, superuser_uri, params_mode (json, form), response_mode (status, json, text),
 * method, user_agent, timeout (jwt: http_timeout; whole seconds).
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#include "go-text.h"

/* Of mosquitto.h, which belongs to another package. */
enum { SUCCESS = 0, REFUSED_LOGIN = 11, REFUSED_ACCESS = 12, FAILED = 13, LOG_ERROR = 8 };

enum answer { GRANTED, REJECTED, BROKEN };
enum check { USER, SUPERUSER, ACL, CHECKS };

struct service {
	CURL *http;
	const char *host, *port, *paths[CHECKS];
	const char *response_mode, *method, *agent;
	bool jwt, form, superusers;
	long timeout;
};

struct question {
	const char *username, *password, *clientid, *topic;
	int access;
};

/* --- What is sent ------------------------------------------------------------------------------------------------ */

static void add_pair(struct text *body, bool form, const char *name, const char *value)
{
	if (form) {
		if (body->length > 0) add(body, "&", 1);
		add_word(body, name);
		add(body, "=", 1);
		add_form(body, value);
	} else {
		add_word(body, body->length > 0 ? ",\"" : "{\"");
		add_word(body, name);
		add_word(body, "\":");
		add_json(body, value);
	}
}

/* Members in the order of the alphabet, as Go sorts them. The token of the backend `jwt` is in a header. */
static void write_body(struct text *body, const struct service *service, enum check check, const struct question *asked)
{
	bool form = service->form;
	if (check == ACL) {
		char acc[24];
		snprintf(acc, sizeof acc, form ? "acc=%d" : "{\"acc\":%d", asked->access);
		add_word(body, acc);
		add_pair(body, form, "clientid", asked->clientid);
		add_pair(body, form, "topic", asked->topic);
		if (!service->jwt) add_pair(body, form, "username", asked->username);
	} else if (service->jwt) {
		add_word(body, form ? "" : "null");
		return;
	} else {
		if (check == USER) {
			add_pair(body, form, "clientid", asked->clientid);
			add_pair(body, form, "password", asked->password);
		}
		add_pair(body, form, "username", asked->username);
	}
	if (!form) add(body, "}", 1);
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	struct text line = {0};
	add_word(&line, name);
	add_word(&line, value);
	list = curl_slist_append(list, line.bytes);
	free(line.bytes);
	return list;
}

/* The header of Go's net/http: host, user agent, length, then the others sorted. An empty one keeps curl's own away. */
static struct curl_slist *write_headers(const struct service *service, const struct question *asked, size_t length)
{
	char number[24];
	snprintf(number, sizeof number, "%zu", length);
	bool posts_form = service->form && !service->jwt; /* PostForm knows nothing of the options */
	struct curl_slist *list = NULL;
	list = add_header(list, "User-Agent: ", posts_form ? "Go-http-client/1.1" : service->agent);
	list = add_header(list, "Content-Length: ", number);
	if (service->jwt) {
		struct text token = {0};
		add_word(&token, "Bearer ");
		add_word(&token, asked->username);
		list = add_header(list, "Authorization: ", token.bytes);
		free(token.bytes);
	}
	list = add_header(list, "Content-Type: ", service->form ? "application/x-www-form-urlencoded" : "application/json");
	list = add_header(list, "Accept-Encoding: ", "gzip");
	list = add_header(list, "Accept:", "");
	return add_header(list, "Expect:", "");
}

/* --- What is made of the answer ---------------------------------------------------------------------------------- */

static size_t take(char *bytes, size_t size, size_t count, void *answer)
{
	if (((struct text *)answer)->length > (1 << 20)) return 0; /* an error of the transfer */
	add(answer, bytes, size * count);
	return size * count;
}

static enum answer judge(const struct service *service, long status, const struct text *body)
{
	if (status >= 500) return BROKEN;
	if (status < 200 || status > 299) return REJECTED;
	if (strcmp(service->response_mode, "text") == 0) return strcmp(body->bytes, "ok") == 0 ? GRANTED : REJECTED;
	if (strcmp(service->response_mode, "json") != 0) return GRANTED;
	bool ok = false;
	if (!read_answer(body->bytes, &ok)) return BROKEN;
	return ok ? GRANTED : REJECTED;
}

/* Asks and waits. The broker does nothing else meanwhile: it has one thread. */
static enum answer ask(struct service *service, enum check check, const struct question *asked)
{
	if (service->form && !service->jwt && strcmp(service->method, "GET") == 0) return BROKEN; /* as it does, unasked */
	struct text url = {0}, body = {0}, answer = {0};
	char error[CURL_ERROR_SIZE] = "";
	add_word(&url, "http://");
	add_word(&url, service->host);
	if (*service->port) add(&url, ":", 1);
	add_word(&url, service->port);
	add_word(&url, service->paths[check]);
	add_word(&answer, "");
	add_word(&body, "");
	write_body(&body, service, check, asked);

	CURL *http = service->http;
	curl_easy_reset(http); /* keeps the connection */
	struct curl_slist *headers = write_headers(service, asked, body.length);
	curl_easy_setopt(http, CURLOPT_URL, url.bytes);
	curl_easy_setopt(http, CURLOPT_POSTFIELDS, body.bytes);
	curl_easy_setopt(http, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.length);
	curl_easy_setopt(http, CURLOPT_CUSTOMREQUEST, service->form && !service->jwt ? "POST" : service->method);
	curl_easy_setopt(http, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(http, CURLOPT_ACCEPT_ENCODING, "gzip"); /* undoes it; the header above is what is sent */
	curl_easy_setopt(http, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(http, CURLOPT_WRITEDATA, &answer);
	curl_easy_setopt(http, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(http, CURLOPT_TIMEOUT, service->timeout);
	curl_easy_setopt(http, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(http, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(http, CURLOPT_NOSIGNAL, 1L);
	CURLcode failure = curl_easy_perform(http);
	long status = 0;
	curl_easy_getinfo(http, CURLINFO_RESPONSE_CODE, &status);
	enum answer result = failure == CURLE_OK ? judge(service, status, &answer) : BROKEN;
	if (result == BROKEN)
		mosquitto_log_printf(LOG_ERROR, "go-auth: %s: %s, status %ld", service->paths[check],
			failure == CURLE_OK ? "no usable answer" : curl_easy_strerror(failure), status);
	curl_slist_free_all(headers);
	free(url.bytes);
	free(body.bytes);
	free(answer.bytes);
	return result;
}

/* --- The plugin -------------------------------------------------------------------------------------------------- */

int mosquitto_auth_plugin_version(void)
{
	return MOSQ_AUTH_PLUGIN_VERSION;
}

static const char *option(const struct mosquitto_opt *options, int count, const char *name, const char *otherwise)
{
	for (int i = 0; i < count; i++)
		if (strcmp(options[i].key, name) == 0) return options[i].value;
	return otherwise;
}

int mosquitto_auth_plugin_init(void **data, struct mosquitto_opt *options, int count)
{
	struct service *service = calloc(1, sizeof *service);
	if (service == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return 1;
	const char *backend = option(options, count, "backends", "http");
	service->jwt = strcmp(backend, "jwt") == 0;
	if (!service->jwt && strcmp(backend, "http") != 0) return 1;
	char name[64];
	#define OF(word, otherwise) (snprintf(name, sizeof name, "%s_%s", backend, word), option(options, count, name, otherwise))
	service->host = OF("host", NULL);
	service->port = OF("port", NULL);
	service->paths[USER] = OF("getuser_uri", NULL);
	service->paths[ACL] = OF("aclcheck_uri", NULL);
	service->paths[SUPERUSER] = OF("superuser_uri", NULL);
	service->form = strcmp(OF("params_mode", "json"), "form") == 0;
	service->response_mode = OF("response_mode", "status");
	service->method = OF("method", "POST");
	service->agent = OF("user_agent", "mosquitto-2.0.11");
	service->timeout = atol(OF(service->jwt ? "http_timeout" : "timeout", "5"));
	if (service->jwt) service->method = OF("http_method", "POST");
	service->superusers = strcmp(option(options, count, "disable_superuser", "false"), "true") != 0;
	if (!service->host || !service->port || !service->paths[USER] || !service->paths[ACL]) return 1;
	service->http = curl_easy_init();
	*data = service;
	return service->http == NULL;
}

int mosquitto_auth_plugin_cleanup(void *data, struct mosquitto_opt *options, int count)
{
	(void)options, (void)count;
	struct service *service = data;
	if (service != NULL) curl_easy_cleanup(service->http);
	free(service);
	curl_global_cleanup();
	return SUCCESS;
}

int mosquitto_auth_security_init(void *data, struct mosquitto_opt *options, int count, bool reload)
{
	(void)data, (void)options, (void)count, (void)reload;
	return SUCCESS;
}

int mosquitto_auth_security_cleanup(void *data, struct mosquitto_opt *options, int count, bool reload)
{
	(void)data, (void)options, (void)count, (void)reload;
	return SUCCESS;
}

static int result_of(enum answer answer, int refused)
{
	return answer == GRANTED ? SUCCESS : answer == REJECTED ? refused : FAILED;
}

int mosquitto_auth_unpwd_check(void *data, struct mosquitto *client, const char *username, const char *password)
{
	if (username == NULL || password == NULL) return REFUSED_LOGIN; /* without asking */
	struct question asked = { .username = username, .password = password, .clientid = mosquitto_client_id(client) };
	return result_of(ask(data, USER, &asked), REFUSED_LOGIN);
}

int mosquitto_auth_acl_check(void *data, int access, struct mosquitto *client, const struct mosquitto_acl_msg *message)
{
	struct service *service = data;
	struct question asked = {
		.username = mosquitto_client_username(client),
		.clientid = mosquitto_client_id(client),
		.topic = message->topic,
		.access = access,
	};
	if (asked.username == NULL || asked.clientid == NULL || asked.topic == NULL || access < 1) return REFUSED_ACCESS;
	bool may_be_super = service->superusers && service->paths[SUPERUSER] != NULL;
	enum answer first = may_be_super ? ask(service, SUPERUSER, &asked) : REJECTED;
	if (first == GRANTED) return SUCCESS;
	enum answer second = ask(service, ACL, &asked);
	return second == REJECTED && first == BROKEN ? FAILED : result_of(second, REFUSED_ACCESS);
}
