// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// authenticator knows the credentials and the tokens given out for them.
type authenticator struct {
	token        string
	clientID     string
	clientSecret string
	lifetime     time.Duration
	given        int
	expires      map[string]time.Time // by exchanged token
}

func newAuthenticator(o Options) authenticator {
	return authenticator{
		token: o.Token, clientID: o.ClientID, clientSecret: o.ClientSecret,
		lifetime: o.TokenLifetime, expires: map[string]time.Time{},
	}
}

// admits tells whether one of the two headers carries a good token. Nobody knows which header VPSie
// wants for exchanged tokens, so either does.
func (a *authenticator) admits(header http.Header, now time.Time) bool {
	bearer, _ := strings.CutPrefix(header.Get("Authorization"), "Bearer ")
	return a.good(header.Get("Vpsie-Auth"), now) || a.good(bearer, now)
}

func (a *authenticator) good(token string, now time.Time) bool {
	if token == "" {
		return false
	}
	return token == a.token || now.Before(a.expires[token])
}

type tokenRow struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// tokenPair is the answer in both shapes clients have been seen to read.
type tokenPair struct {
	Error bool `json:"error"`
	Token struct {
		Access  tokenRow `json:"access"`
		Refresh tokenRow `json:"refresh"`
	} `json:"token"`
	AccessToken  tokenRow `json:"accessToken"`
	RefreshToken tokenRow `json:"refreshToken"`
}

func (s *Server) authenticate(r *request) reply {
	clientID, secret := r.text("clientId"), r.text("clientSecret")
	if strings.HasPrefix(r.http.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(string(r.body))
		if err != nil {
			return failed(http.StatusBadRequest, messageBadBody)
		}
		clientID, secret = form.Get("clientId"), form.Get("clientSecret")
	}
	a := &s.auth
	if a.clientID == "" || clientID != a.clientID || secret != a.clientSecret {
		return failed(http.StatusUnauthorized, messageUnauthenticated)
	}
	maps.DeleteFunc(a.expires, func(_ string, expires time.Time) bool { return !r.now.Before(expires) })
	a.given++
	access := tokenRow{s.identifier("access token", strconv.Itoa(a.given)), r.now.Add(a.lifetime).UTC()}
	refresh := tokenRow{s.identifier("refresh token", strconv.Itoa(a.given)), r.now.Add(24 * a.lifetime).UTC()}
	a.expires[access.Token] = access.Expires

	pair := tokenPair{AccessToken: access, RefreshToken: refresh}
	pair.Token.Access, pair.Token.Refresh = access, refresh
	return reply{status: http.StatusOK, body: pair}
}
