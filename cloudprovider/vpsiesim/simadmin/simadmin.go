// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package simadmin is the client of the simulated VPSie's admin API. It turns method calls into what
// the ledger says, and scripts faults. It never speaks the VPSie API.
package simadmin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// Client calls the admin API of one simulated VPSie.
type Client struct {
	base string
	http *http.Client
}

// New makes a client for a server such as http://127.0.0.1:8080; a nil client is http.DefaultClient.
func New(server string, client *http.Client) *Client {
	if client == nil {
		client = http.DefaultClient
	}
	return &Client{base: strings.TrimSuffix(server, "/") + vpsiesim.AdminPrefix, http: client}
}

// Health tells that the server answers, and what it simulates.
func (c *Client) Health(ctx context.Context) (vpsiesim.Health, error) {
	return call[vpsiesim.Health](ctx, c, http.MethodGet, "/healthz", nil)
}

// Ledger reads the whole book.
func (c *Client) Ledger(ctx context.Context) (ledger.Report, error) {
	return call[ledger.Report](ctx, c, http.MethodGet, "/ledger", nil)
}

// Orders reads the accepted orders, oldest first.
func (c *Client) Orders(ctx context.Context) ([]ledger.Order, error) {
	return call[[]ledger.Order](ctx, c, http.MethodGet, "/orders", nil)
}

// Spend reads the bill.
func (c *Client) Spend(ctx context.Context) (ledger.Spend, error) {
	return call[ledger.Spend](ctx, c, http.MethodGet, "/spend", nil)
}

// Calls reads how often each endpoint was called.
func (c *Client) Calls(ctx context.Context) (map[fault.Call]int, error) {
	return call[map[fault.Call]int](ctx, c, http.MethodGet, "/calls", nil)
}

// Faults reads which faults wait and how many have struck.
func (c *Client) Faults(ctx context.Context) (fault.Report, error) {
	return call[fault.Report](ctx, c, http.MethodGet, "/faults", nil)
}

// AddFaults queues faults, all or none, and returns them with their IDs.
func (c *Client) AddFaults(ctx context.Context, faults ...fault.Fault) ([]fault.Fault, error) {
	return call[[]fault.Fault](ctx, c, http.MethodPost, "/faults", faults)
}

// RemoveFault withdraws one fault that still waits.
func (c *Client) RemoveFault(ctx context.Context, id int) error {
	_, err := call[fault.Report](ctx, c, http.MethodDelete, "/faults?id="+strconv.Itoa(id), nil)
	return err
}

// Mix replaces what strikes by chance.
func (c *Client) Mix(ctx context.Context, mix fault.Mix) error {
	_, err := call[fault.Mix](ctx, c, http.MethodPost, "/mix", mix)
	return err
}

// AddForeign adds a worker that nobody ordered, as a person does in VPSie's console.
func (c *Client) AddForeign(ctx context.Context, sizeID int) (vpsiesim.Machine, error) {
	return call[vpsiesim.Machine](ctx, c, http.MethodPost, "/workers", vpsiesim.Foreign{SizeID: sizeID})
}

// Destroy ends a worker at once, whoever owns it.
func (c *Client) Destroy(ctx context.Context, identifier string) error {
	_, err := call[vpsiesim.Machine](ctx, c, http.MethodDelete, "/workers?identifier="+url.QueryEscape(identifier), nil)
	return err
}

// ClearFaults withdraws every fault that still waits, and the mix.
func (c *Client) ClearFaults(ctx context.Context) error {
	_, err := call[fault.Report](ctx, c, http.MethodDelete, "/faults", nil)
	return err
}

// Options reads the settings that can be changed.
func (c *Client) Options(ctx context.Context) (vpsiesim.Settings, error) {
	return call[vpsiesim.Settings](ctx, c, http.MethodGet, "/options", nil)
}

// SetOptions changes the settings that are not nil, and returns them all.
func (c *Client) SetOptions(ctx context.Context, change vpsiesim.Settings) (vpsiesim.Settings, error) {
	return call[vpsiesim.Settings](ctx, c, http.MethodPost, "/options", change)
}

func call[T any](ctx context.Context, c *Client, method, path string, body any) (answer T, err error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return answer, fmt.Errorf("writing the body of %s %s: %w", method, path, err)
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return answer, fmt.Errorf("making call %s %s: %w", method, path, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer, fmt.Errorf("calling the simulated VPSie's admin API: %w", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return answer, fmt.Errorf("reading the answer of %s %s: %w", method, path, err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		var refused vpsiesim.Refused
		if json.Unmarshal(data, &refused) != nil || refused.Error == "" {
			refused.Error = "the answer says nothing more"
		}
		return answer, fmt.Errorf("calling %s %s: %s: %s", method, path, response.Status, refused.Error)
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, fmt.Errorf("reading the answer of %s %s: %w", method, path, err)
	}
	return answer, nil
}
