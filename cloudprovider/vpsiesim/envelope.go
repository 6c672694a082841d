// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Messages that the real API is known to send, word for word.
const (
	messageUnauthenticated = "Please authenticate"
	messageWorkerLimit     = "Worker nodes count exceeds the allowed limit"
	messageSameSize        = "Group %s has same selected Size, please select another size"
	messageWrongPackage    = "Please select the right package for this OS"
	messageWrongPassword   = "You entered the wrong password"
	messageNotFound        = "Not found"
)

// Messages for refusals whose real text nobody knows. A client must not depend on them.
const (
	messageBadBody         = "Invalid request body"
	messageFieldRequired   = "%s is required"
	messageNoDatacenter    = "Datacenter not found"
	messageNoCluster       = "Cluster not found"
	messageNoGroup         = "Node group not found"
	messageNoSize          = "Kubernetes size not found"
	messageNoNode          = "Node not found"
	messageGroupNotEmpty   = "Node group still has nodes"
	messageOwnGroup        = "The default node group cannot be deleted"
	messageEmptyGroup      = "Node group has no nodes"
	messageNoStock         = "Selected size is out of stock in this datacenter"
	messageClusterLocked   = "Cluster is locked"
	messageTooManyRequests = "Too many requests"
)

// envelope wraps every answer. Data is left out of a failure, Total of everything but lists.
type envelope struct {
	Error   bool    `json:"error"`
	Data    any     `json:"data,omitempty"`
	Total   *int    `json:"total,omitempty"`
	Code    int     `json:"code,omitempty"`
	Message string  `json:"message,omitempty"`
	Stack   *string `json:"stack,omitempty"`
}

// reply is an answer that is not written yet.
type reply struct {
	status     int
	body       any
	html       string // instead of body
	retryAfter string
	lost       bool
	// refusal says why the call had no effect; empty if it had one.
	refusal string
}

func found(data any) reply {
	return reply{status: http.StatusOK, body: envelope{Data: data}}
}

// list answers with rows, which must not be nil: VPSie sends an empty list for none.
func list[T any](rows []T) reply { return page(rows, len(rows)) }

func page[T any](rows []T, total int) reply {
	return reply{status: http.StatusOK, body: envelope{Data: rows, Total: &total}}
}

// absent is how VPSie says that it has no such object: success, with false for data.
func absent() reply { return found(false) }

// done is how VPSie confirms a change: true, and nothing about what was made.
func done() reply { return found(true) }

// refused is HTTP 200 with error set, which is how VPSie refuses most things.
func refused(message string, args ...any) reply {
	if len(args) > 0 {
		message = fmt.Sprintf(message, args...)
	}
	return failed(http.StatusOK, message)
}

func failed(status int, message string) reply {
	return reply{
		status:  status,
		body:    envelope{Error: true, Code: status, Message: message, Stack: new("")},
		refusal: message,
	}
}

// write sends the reply, or closes the connection if the reply is lost.
func (r reply) write(w http.ResponseWriter) {
	if r.lost {
		panic(http.ErrAbortHandler)
	}
	if r.retryAfter != "" {
		w.Header().Set("Retry-After", r.retryAfter)
	}
	if r.html != "" {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(r.status)
		_, _ = w.Write([]byte(r.html)) // a client that hung up is its own affair
		return
	}
	writeJSON(w, r.status, r.body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that hung up is its own affair
}
