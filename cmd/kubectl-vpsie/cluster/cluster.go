// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster turns a kubeconfig into a reader of that cluster and into VPSie's prices for it. It only ever reads: any other request
// is refused before it leaves this machine.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// Options say which cluster, and where its VPSie credentials are.
type Options struct {
	Kubeconfig, Context     string // empty: as kubectl chooses
	ClusterID, Datacenter   string // of VPSie; empty: discovered
	UserAgent               string
	SecretNamespace, Secret string
}

// Cluster is a cluster that is read.
type Cluster struct {
	options Options
	reader  client.Reader
	scheme  *runtime.Scheme
	bare    bool     // the cluster does not know our kinds
	hidden  []string // kinds that the user may not list and that few clusters need
}

var _ client.Reader = (*Cluster)(nil)

// Open connects to nothing yet.
func Open(options Options, scheme *runtime.Scheme) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = options.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: options.Context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("there is no kubeconfig: plan for manifests with -f FILE, or name a cluster with --kubeconfig or KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return connect(config, options, scheme)
}

func connect(config *rest.Config, options Options, scheme *runtime.Scheme) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = options.UserAgent
	config.QPS, config.Burst = -1, -1 // some twenty requests in all
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return readOnly{next} })
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	return &Cluster{options: options, reader: reader, scheme: scheme}, nil
}

// readOnly refuses every request that could change something.
type readOnly struct{ next http.RoundTripper }

func (r readOnly) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		return nil, fmt.Errorf("refused to send %s %s: a plan only reads", request.Method, request.URL.Path)
	}
	return r.next.RoundTrip(request)
}

// List lists. Of the kinds that not every cluster knows, one that it does not know has no objects; nor has one of devices or pod groups that
// the user may not list, because a cluster without such pods can be planned for without it.
func (c *Cluster) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := c.reader.List(ctx, list, options...)
	if err == nil {
		return nil
	}
	kind, unknown := apiutil.GVKForObject(list, c.scheme)
	if unknown != nil {
		return unknown
	}
	optional := kind.Group == resourceapi.GroupName || kind.Kind == "PodGroupList"
	switch absent := meta.IsNoMatchError(err); {
	case absent && kind.Group == v1alpha1.Group:
		c.bare = true
		return nil
	case absent && optional:
		return nil
	case optional && apierrors.IsForbidden(err):
		c.hidden = append(c.hidden, strings.TrimSuffix(kind.Kind, "List"))
		return nil
	}
	return err
}

// Hidden says in words which objects that a plan may need the user may not see. It is known once they were listed.
func (c *Cluster) Hidden() []string {
	if len(c.hidden) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("this user may not list kind %s; pods that need them are refused", strings.Join(c.hidden, ", "))}
}

// Get gets one object.
func (c *Cluster) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.reader.Get(ctx, key, object, options...)
}

// Installed says whether the cluster knows NodeGroups. It is known once they were listed.
func (c *Cluster) Installed() bool { return !c.bare }

// Offerings asks VPSie what it sells in the cluster's datacenter, with the credentials that the controller uses.
func (c *Cluster) Offerings(ctx context.Context) ([]scheduling.Offering, error) {
	key := client.ObjectKey{Namespace: c.options.SecretNamespace, Name: c.options.Secret}
	secret := &corev1.Secret{}
	if err := c.reader.Get(ctx, key, secret); err != nil {
		return nil, fmt.Errorf("reading VPSie's credentials from Secret %q: %w; give sizes and prices in a file with --catalogue", key, err)
	}
	credentials, err := vpsie.CredentialsFrom(key.String(), secret.Data)
	if err != nil {
		return nil, err
	}
	apiClient, err := api.New(api.Options{
		Credentials: func(context.Context) (api.Credentials, error) { return credentials, nil }, UserAgent: c.options.UserAgent,
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to VPSie: %w", err)
	}
	provider, err := vpsie.New(apiClient, vpsie.Options{
		ClusterID: c.options.ClusterID, Datacenter: c.options.Datacenter, Secret: key.String(), Logger: logr.Discard(),
	})
	if err != nil {
		return nil, err
	}
	offerings, err := provider.Offerings(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking VPSie for sizes and prices: %w; a file with --catalogue would do as well", err)
	}
	return offerings, nil
}
