// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadsAreRepeatedChangesAreNot(t *testing.T) {
	for name, test := range map[string]struct {
		answer answerer
		reads  int
		doubt  bool // whether a change that got this answer is ambiguous
	}{
		"a lost reply":                {lose(errReset), 4, true},
		"a gateway's page":            {gateway, 4, true},
		"status 500 with an envelope": {reply(500, `{"error":true,"message":"oops"}`), 4, true},
		"status 500 in words of 401":  {reply(500, `{"error":true,"message":"Please authenticate"}`), 4, true},
		"a web page with status 200":  {reply(200, "<html>"), 4, true},
		"half an answer":              {reply(200, `{"error":false,"da`), 4, true},
		"status 408":                  {reply(408, ""), 4, true},
		"data false":                  {reply(200, `{"error":false,"data":false}`), 1, true},
		"status 429":                  {reply(429, `{"error":true,"message":"slow"}`), 4, false},
		"a host that is not there":    {lose(&net.OpError{Op: "dial", Err: errors.New("refused")}), 4, false},
		"a name that is not there":    {lose(&net.DNSError{Err: "no such host"}), 4, false},
		"error with status 200":       {reply(200, `{"error":true,"message":"no"}`), 1, false},
		"status 400":                  {reply(400, `{"error":true,"message":"no"}`), 1, false},
		"status 401":                  {reply(401, `{"error":true,"message":"Please authenticate"}`), 1, false},
		"status 404 from a gateway":   {reply(404, "<html>"), 1, false},
		"a redirection":               {reply(302, "", "Location", "https://elsewhere.example/"), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vpsie := newCloud(test.answer)
				if _, err := newClient(t, vpsie, nil).NodeGroups(t.Context(), "k"); err == nil || IsAmbiguous(err) {
					t.Errorf("a read ends in %v", err)
				}
				if got := len(vpsie.requests()); got != test.reads {
					t.Errorf("the read was sent %d times, want %d", got, test.reads)
				}
				for change, send := range map[string]func(*Client) error{
					"order":    func(c *Client) error { return c.AddWorker(t.Context(), "k", 1, "vn") },
					"deletion": func(c *Client) error { return c.DeleteWorker(t.Context(), "k", "w") },
					"group":    func(c *Client) error { return c.CreateNodeGroup(t.Context(), "k", "g", 1) },
				} {
					vpsie := newCloud(test.answer)
					err := send(newClient(t, vpsie, nil))
					if err == nil || IsAmbiguous(err) != test.doubt {
						t.Errorf("%s: ambiguous is %v, want %v: %v", change, IsAmbiguous(err), test.doubt, err)
					}
					if got := len(vpsie.requests()); got != 1 {
						t.Errorf("%s: sent %d times, want once", change, got)
					}
				}
			})
		})
	}
}

func TestAReadSucceedsAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vpsie := newCloud(gateway, lose(errReset), reply(200, `{"error":false,"data":[{"id":4,"boxsize_id":3}]}`))
		groups, err := newClient(t, vpsie, nil).NodeGroups(t.Context(), "k")
		if err != nil || len(groups) != 1 || groups[0].ID != 4 {
			t.Errorf("got %v, %v", groups, err)
		}
	})
}

func TestACallerThatLeavesIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		started := time.Now()
		client := newClient(t, newCloud(gateway), nil)
		if _, err := client.Clusters(ctx); err == nil || time.Since(started) > time.Second {
			t.Errorf("got %v after %v", err, time.Since(started))
		}
	})
}

func TestAnOrderWaitingForItsTurnThatIsCanceledWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vpsie := newCloud(accepted)
		client := newClient(t, vpsie, func(o *Options) { o.RequestsPerMinute = 1 })
		if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := client.AddWorker(ctx, "k", 1, "vn")
		if !errors.Is(err, context.DeadlineExceeded) || IsAmbiguous(err) || len(vpsie.requests()) != 1 {
			t.Errorf("got %v, %d requests", err, len(vpsie.requests()))
		}
	})
}

// TestAMissingAnswerNamesTheHost: a timeout says nothing of where it happened, and the address may come from the Secret.
func TestAMissingAnswerNamesTheHost(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	host := func(server *httptest.Server) string { return strings.TrimPrefix(server.URL, "http://") }
	for name, test := range map[string]struct {
		option, secret string // URLs
		want           string
	}{
		"that is configured and does not answer": {silent.URL, "", "listClusters: no answer from VPSie at " + host(silent) + ": context deadline exceeded"},
		"of the Secret, which goes first":        {gone.URL, silent.URL, "listClusters: no answer from VPSie at " + host(silent) + ": context deadline exceeded"},
		"that refuses connections":               {gone.URL, "", "listClusters: no answer from VPSie at " + host(gone) + ": dial tcp " + host(gone) + ": connect: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, nil, func(o *Options) {
				o.BaseURL, o.Timeout, o.ReadAttempts = test.option, 50*time.Millisecond, 1
				o.Credentials = Static(Credentials{Token: "s3cret-token", URL: test.secret})
			}).Clusters(t.Context())
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// The cases below need a real connection: what net/http does with a broken one is the point.
func TestRealConnections(t *testing.T) {
	orderFrom := func(t *testing.T, handler http.HandlerFunc, change func(*Options)) (sent int, err error) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent++
			handler(w, r)
		}))
		defer server.Close()
		client := newClient(t, nil, func(o *Options) {
			o.BaseURL = server.URL
			if change != nil {
				change(o)
			}
		})
		err = client.AddWorker(t.Context(), "k", 1, "vn")
		return sent, err
	}
	t.Run("a connection closed without an answer leaves doubt", func(t *testing.T) {
		sent, err := orderFrom(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.Close()
		}, nil)
		if !IsAmbiguous(err) || sent != 1 {
			t.Errorf("got %v after %d requests", err, sent)
		}
	})
	t.Run("an answer that breaks off leaves doubt", func(t *testing.T) {
		_, err := orderFrom(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"error":false`)
		}, nil)
		if !IsAmbiguous(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an answer that takes too long leaves doubt", func(t *testing.T) {
		_, err := orderFrom(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(o *Options) {
			o.Timeout = 50 * time.Millisecond
		})
		if !IsAmbiguous(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an answer that is too long leaves doubt", func(t *testing.T) {
		_, err := orderFrom(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"error":false,"data":"`+strings.Repeat("x", 1000)+`"}`)
		}, func(o *Options) { o.MaxResponseBytes = 100 })
		if !IsAmbiguous(err) || !strings.Contains(err.Error(), "longer than 100 bytes") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a host that refuses connections leaves none", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		err := newClient(t, nil, func(o *Options) { o.BaseURL = server.URL }).AddWorker(t.Context(), "k", 1, "vn")
		if err == nil || IsAmbiguous(err) || !isUnsent(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a certificate that nobody knows is refused, and leaves none", func(t *testing.T) {
		sent := 0
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent++ }))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		err := newClient(t, nil, func(o *Options) { o.BaseURL = server.URL }).AddWorker(t.Context(), "k", 1, "vn")
		if err == nil || IsAmbiguous(err) || !strings.Contains(err.Error(), "certificate") || sent > 0 {
			t.Errorf("got %v after %d requests", err, sent)
		}
	})
	t.Run("a redirection does not take the credentials along", func(t *testing.T) {
		elsewhere := 0
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
		defer other.Close()
		_, err := orderFrom(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, nil)
		var refused *APIError
		if !errors.As(err, &refused) || refused.StatusCode != 307 || elsewhere != 0 {
			t.Errorf("got %v, %d requests elsewhere", err, elsewhere)
		}
	})
}
