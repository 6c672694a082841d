// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzJudge looks for answers that are taken for success although they say no, that leak the token, or whose pause is nonsense.
func FuzzJudge(f *testing.F) {
	for _, seed := range []struct {
		status       int
		body, header string
	}{
		{200, `{"error":false,"data":true}`, ""}, {200, `{"error":true,"message":"s3cret-token"}`, ""}, {200, `{"error":"1","data":{}}`, ""},
		{204, ``, ""}, {429, `{"error":true,"code":429,"message":"Too many requests"}`, "30"}, {503, `<html><body>s3cret-token`, "Fri, 31 Dec 2100 23:59:59 GMT"},
		{302, ``, "-1"}, {200, `{"error":0,"data":false}`, "1e9"}, {200, `[]`, ""}, {401, `{"message":{"a":1}}`, "9223372036854775808"},
	} {
		f.Add(seed.status, []byte(seed.body), seed.header)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, header string) {
		if status < 100 || status > 599 {
			t.Skip("no HTTP status")
		}
		client := newClient(t, newCloud(accepted), nil)
		a, err := client.judge(answer{op: AddWorker, status: status, body: body}, http.Header{"Retry-After": {header}}, []string{"s3cret-token"})
		switch {
		case err == nil && (status < 200 || status >= 300):
			t.Errorf("status %d with %q is success", status, body)
		case err == nil && status != http.StatusNoContent && strings.Contains(strings.ReplaceAll(string(body), " ", ""), `"error":true`) && !strings.Contains(string(body), `"data"`):
			t.Errorf("%q is success", body)
		case err != nil && strings.Contains(err.Error(), "s3cret-token"):
			t.Errorf("status %d with %q comes out as %v", status, body, err)
		case err != nil && strings.ContainsAny(err.Error(), "\n\r\x00"):
			t.Errorf("status %d with %q makes an error of several lines: %q", status, body, err)
		case err == nil && a.data == nil && leavesDoubt(err):
			t.Errorf("status %d with %q leaves doubt and is no error", status, body)
		}
		if pause := client.limiter.pause(client.options.Clock.Now()); pause > longestPause {
			t.Errorf("Retry-After %q pauses for %v", header, pause)
		}
		_ = outcomeOf(err)
	})
}

// FuzzParseBaseURL looks for addresses that would send the credentials unencrypted or somewhere else than they say.
func FuzzParseBaseURL(f *testing.F) {
	for _, seed := range []string{
		"https://api.vpsie.com", "http://127.0.0.1:80/apps/v2", "http://localhost", "https://user:pw@api.vpsie.com", "https://api.vpsie.com/%2e%2e", "//x", "http://[::1]:1",
		"http://api.vpsie.com", "https://api.vpsie.com?x#y", " https://a/apps/v2/ ",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		base, err := ParseBaseURL(text)
		if err != nil {
			if strings.Contains(text, "@") && strings.Contains(err.Error(), text) {
				t.Errorf("%q is quoted, with what may be a password: %v", text, err)
			}
			return
		}
		if base.Scheme != "https" && !isLoopback(base.Hostname()) || base.User != nil || base.Hostname() == "" || !strings.HasSuffix(base.Path, pathPrefix) {
			t.Errorf("%q was read as %v", text, base)
		}
	})
}

// FuzzRetryAfter looks for headers that pause for ever or backwards.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range [][2]string{{"1", ""}, {"", "1893456025"}, {"-99999999999", "x"}, {"Tue, 01 Jan 2030 00:00:30 GMT", ""}, {"", "9223372036854775807"}, {"", "-9223372036854775808"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, after, reset string) {
		now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		if got := retryAfter(http.Header{"Retry-After": {after}, "X-Ratelimit-Reset": {reset}}, now); got < 0 || got > longestPause {
			t.Errorf("%q and %q pause for %v", after, reset, got)
		}
	})
}
