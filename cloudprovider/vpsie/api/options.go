// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

const pathPrefix = "/apps/v2"

func (o *Options) validate() error {
	var errs []error
	if o.Credentials == nil {
		errs = append(errs, errors.New("option Credentials is missing; give a Source, for example api.Static"))
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"RequestsPerMinute", int64(o.RequestsPerMinute)},
		{"Timeout", int64(o.Timeout)},
		{"MaxResponseBytes", o.MaxResponseBytes},
		{"ReadAttempts", int64(o.ReadAttempts)},
		{"BreakerFailures", int64(o.BreakerFailures)},
		{"BreakerPause", int64(o.BreakerPause)},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("option %s is negative; leave it out or set it above 0", n.name))
		}
	}
	if t, ok := o.Transport.(*http.Transport); ok && t.TLSClientConfig != nil {
		switch tlsConfig := t.TLSClientConfig; {
		case tlsConfig.InsecureSkipVerify:
			errs = append(errs, errors.New("option Transport does not verify certificates; every request carries the credentials, so it must"))
		case tlsConfig.MinVersion != 0 && tlsConfig.MinVersion < tls.VersionTLS12:
			errs = append(errs, errors.New("option Transport allows TLS below 1.2; set MinVersion to tls.VersionTLS12"))
		}
	}
	return errors.Join(errs...)
}

func (o *Options) setDefaults() {
	o.BaseURL = cmp.Or(o.BaseURL, DefaultBaseURL)
	o.RequestsPerMinute = cmp.Or(o.RequestsPerMinute, DefaultRequestsPerMinute)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.MaxResponseBytes = cmp.Or(o.MaxResponseBytes, DefaultMaxResponseBytes)
	o.ReadAttempts = cmp.Or(o.ReadAttempts, DefaultReadAttempts)
	o.BreakerFailures = cmp.Or(o.BreakerFailures, DefaultBreakerFailures)
	o.BreakerPause = cmp.Or(o.BreakerPause, DefaultBreakerPause)
	o.UserAgent = cmp.Or(o.UserAgent, DefaultUserAgent)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Transport == nil {
		o.Transport = secureTransport()
	}
}

// secureTransport verifies certificates, always: there is no option that turns it off.
func secureTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// ParseBaseURL reads the address of VPSie's API: scheme and host, with or without /apps/v2. Plain http is for loopback
// only, since every request carries the credentials. The text is not quoted in the error where it may hold a password.
func ParseBaseURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	base, err := url.Parse(text)
	switch {
	case strings.Contains(text, "@"):
		return nil, errors.New("the URL holds a user name; credentials go into keys of their own")
	case !strings.Contains(text, "://"):
		return nil, fmt.Errorf("%q has no scheme; write https://api.vpsie.com", text)
	case err != nil:
		return nil, fmt.Errorf("%q is not a URL; write https://api.vpsie.com", text)
	case base.Hostname() == "":
		return nil, fmt.Errorf("%q has no host; write https://api.vpsie.com", text)
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, fmt.Errorf("%q has a query or fragment; write scheme and host only", text)
	case base.Scheme != "https" && base.Scheme != "http":
		return nil, fmt.Errorf("%q has the scheme %q; write https://%s", text, base.Scheme, base.Host)
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		return nil, fmt.Errorf("%q would send the credentials unencrypted; write https://%s", text, base.Host)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	switch {
	case base.Path == "":
		base.Path = pathPrefix
	case !strings.HasSuffix(base.Path, pathPrefix):
		return nil, fmt.Errorf("%q has a path that does not end in %s; leave the path out", text, pathPrefix)
	}
	base.RawPath = ""
	return base, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
