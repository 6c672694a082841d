// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// tokens answers an exchange with token-1, token-2, ... and takes only the latest.
type tokens struct {
	mu       sync.Mutex
	issued   int
	lifetime time.Duration
	revoked  bool // the latest is refused until there is another
	shape    string
	fail     bool
}

const (
	shapeToken  = `{"error":false,"token":{"access":{"token":%q,"expires":%q}}}`
	shapeAccess = `{"error":false,"accessToken":{"token":%q,"expires":%q}}`
)

func (x *tokens) answer(w http.ResponseWriter, r *http.Request) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/auth/from/api") {
		if x.fail {
			return reply(500, "")(w, r)
		}
		x.issued++
		x.revoked = false
		return reply(200, fmt.Sprintf(x.shape, x.latest(), time.Now().Add(x.lifetime).Format(time.RFC3339)))(w, r)
	}
	if x.revoked || r.Header.Get("Vpsie-Auth") != x.latest() || r.Header.Get("Authorization") != "Bearer "+x.latest() {
		return reply(401, `{"error":true,"message":"Please authenticate"}`)(w, r)
	}
	return accepted(w, r)
}

func (x *tokens) latest() string { return fmt.Sprintf("token-%d", x.issued) }

func (x *tokens) set(change func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	change()
}

func withSecret(o *Options) {
	o.Credentials = Static(Credentials{ClientID: "client", ClientSecret: "s3cret"})
	o.RequestsPerMinute = 6000
}

func TestExchange(t *testing.T) {
	for _, shape := range []string{shapeToken, shapeAccess} {
		synctest.Test(t, func(t *testing.T) {
			x := &tokens{lifetime: time.Hour, shape: shape}
			vpsie := newCloud(x.answer)
			client := newClient(t, vpsie, withSecret)
			var calls sync.WaitGroup
			for range 20 {
				calls.Go(func() {
					if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil {
						t.Error(err)
					}
				})
			}
			calls.Wait()
			want := seen{Method: "POST", Path: "/apps/v2/auth/from/api", Body: `{"clientId":"client","clientSecret":"s3cret"}`}
			if diff := cmp.Diff(want, vpsie.requests()[0]); diff != "" || x.issued != 1 {
				t.Errorf("%d exchanges, the first (-want +got):\n%s", x.issued, diff)
			}
		})
	}
}

func TestRenewal(t *testing.T) {
	start := func(t *testing.T, lifetime time.Duration) (*tokens, *cloud, *Client) {
		t.Helper()
		x := &tokens{lifetime: lifetime, shape: shapeToken}
		vpsie := newCloud(x.answer)
		client := newClient(t, vpsie, withSecret)
		if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil {
			t.Fatal(err)
		}
		return x, vpsie, client
	}
	t.Run("before the token expires, not earlier", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x, _, client := start(t, time.Hour)
			time.Sleep(54 * time.Minute)
			_ = client.AddWorker(t.Context(), "k", 1, "vn")
			early := x.issued
			time.Sleep(2 * time.Minute)
			if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil || early != 1 || x.issued != 2 {
				t.Errorf("exchanges %d, then %d, error %v", early, x.issued, err)
			}
		})
	})
	t.Run("an order whose token is refused is sent again, once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x, vpsie, client := start(t, time.Hour)
			x.set(func() { x.revoked = true })
			if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil || x.issued != 2 || vpsie.count("/slave/group/1") != 3 {
				t.Errorf("error %v, %d exchanges, %d orders", err, x.issued, vpsie.count("/slave/group/1"))
			}
		})
	})
	t.Run("a token that is always refused does not loop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			vpsie := newCloud(reply(200, fmt.Sprintf(shapeToken, "bad-token", "")), reply(401, ""), reply(200, fmt.Sprintf(shapeToken, "worse-token", "")), reply(401, ""))
			err := newClient(t, vpsie, withSecret).AddWorker(t.Context(), "k", 1, "vn")
			if !IsUnauthorized(err) || len(vpsie.requests()) != 4 {
				t.Errorf("got %v after %d requests", err, len(vpsie.requests()))
			}
		})
	})
	t.Run("a token that cannot be renewed yet is used to its end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x, _, client := start(t, time.Hour)
			x.set(func() { x.fail = true })
			time.Sleep(57 * time.Minute)
			if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Minute)
			err := client.AddWorker(t.Context(), "k", 1, "vn")
			if err == nil || IsAmbiguous(err) {
				t.Errorf("an order without a token ends in %v", err)
			}
		})
	})
	t.Run("a token that seems to have expired already is used for a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x, _, client := start(t, -time.Hour)
			for range 5 {
				_ = client.AddWorker(t.Context(), "k", 1, "vn")
			}
			if x.issued != 1 {
				t.Errorf("%d exchanges", x.issued)
			}
		})
	})
}

func TestRotatedCredentialsTakeEffectAtOnce(t *testing.T) {
	var now Credentials
	vpsie := newCloud(func(w http.ResponseWriter, r *http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/auth/from/api") {
			return reply(200, fmt.Sprintf(shapeToken, "from-"+now.ClientSecret, ""))(w, r)
		}
		return accepted(w, r)
	})
	client := newClient(t, vpsie, func(o *Options) {
		o.Credentials = func(context.Context) (Credentials, error) { return now, nil }
	})
	for _, now = range []Credentials{
		{Token: "first"}, {Token: "second"}, {ClientID: "c", ClientSecret: "third"}, {ClientID: "c", ClientSecret: "fourth"},
		{Token: "fifth", ClientID: "c", ClientSecret: "fourth", URL: "https://other.example/apps/v2/"},
	} {
		if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range vpsie.requests() {
		if r.Auth != "" {
			got = append(got, r.Auth)
		}
	}
	if diff := cmp.Diff([]string{"first", "second", "from-third", "from-fourth", "fifth"}, got); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
}

func TestCredentialsThatCannotBeUsedAreNotSent(t *testing.T) {
	for name, source := range map[string]Source{
		"none":                  Static(Credentials{}),
		"half":                  Static(Credentials{ClientID: "c"}),
		"a token with a break":  Static(Credentials{Token: "s3cret\ntoken"}),
		"a URL without scheme":  Static(Credentials{Token: "s3cret", URL: "api.vpsie.com"}),
		"a source that fails":   func(context.Context) (Credentials, error) { return Credentials{}, errors.New("no Secret") },
		"a token like a secret": Static(Credentials{Token: "s3cret é"}),
	} {
		t.Run(name, func(t *testing.T) {
			vpsie := newCloud(accepted)
			err := newClient(t, vpsie, func(o *Options) { o.Credentials = source }).AddWorker(t.Context(), "k", 1, "vn")
			var missing *CredentialsError
			if !errors.As(err, &missing) || IsAmbiguous(err) || len(vpsie.requests()) > 0 || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v, %d requests", err, len(vpsie.requests()))
			}
		})
	}
}

// TestSecretsStayInside lets VPSie and the network echo every secret in every place, and greps all that comes out.
func TestSecretsStayInside(t *testing.T) {
	secrets := []string{"static-s3cret", "client-s3cret", "exchanged-s3cret"}
	echo := strings.Join(secrets, " ")
	answers := map[string]answerer{
		"in a message":     reply(200, `{"error":true,"message":"who is `+echo+`?"}`, "X-Request-Id", echo),
		"in a status":      reply(500, `{"error":true,"message":"`+echo+`"}`),
		"in a page":        reply(502, `<html>`+echo),
		"in half a page":   reply(200, `{"error":`+echo),
		"in a lost reply":  lose(errors.New("proxy refused header " + echo)),
		"in unauthorized":  reply(401, `{"error":true,"message":"`+echo+`"}`),
		"in an error word": reply(200, `{"error":"`+echo+`"}`),
	}
	for name, answer := range answers {
		for _, creds := range []Credentials{{Token: "static-s3cret"}, {ClientID: "id", ClientSecret: "client-s3cret"}} {
			t.Run(fmt.Sprint(name, " with ", creds), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var out strings.Builder
					registry := prometheus.NewPedanticRegistry()
					vpsie := newCloud(func(w http.ResponseWriter, r *http.Request) error {
						if strings.HasSuffix(r.URL.Path, "/auth/from/api") {
							return reply(200, fmt.Sprintf(shapeToken, "exchanged-s3cret", ""))(w, r)
						}
						return answer(w, r)
					})
					client := newClient(t, vpsie, func(o *Options) {
						o.Credentials, o.Registerer = Static(creds), registry
						o.Logger = funcr.New(func(prefix, args string) { out.WriteString(prefix + args + "\n") }, funcr.Options{Verbosity: 10})
					})
					_, err := client.Clusters(t.Context())
					fmt.Fprintf(&out, "%v %+v %q\n", err, err, client.AddWorker(t.Context(), "k", 1, "vn"))
					client.options.Logger.Info("Had credentials", "value", creds, "pointer", &creds)
					text, _ := json.Marshal(creds)
					fmt.Fprintf(&out, "%s %v %+v %#v %s %q\n", text, creds, creds, creds, creds, creds)
					families, _ := registry.Gather()
					for _, family := range families {
						out.WriteString(family.String())
					}
					sent := creds.Token
					if sent == "" {
						sent = "exchanged-s3cret"
					}
					for _, secret := range []string{sent, creds.ClientSecret} {
						if secret != "" && strings.Contains(out.String(), secret) {
							t.Errorf("%q came out:\n%s", secret, out.String())
						}
					}
					if !strings.Contains(out.String(), "addWorker") {
						t.Errorf("nothing was recorded:\n%s", out.String())
					}
				})
			})
		}
	}
}
