// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLife outlives any sandbox: nobody renews the tokens in kubeconfig files.
const tokenLife = 30 * 24 * time.Hour

// AdminConfig is a client configuration that may do everything and is not slowed down.
func (c *Cluster) AdminConfig() *rest.Config {
	return &rest.Config{
		Host: c.server,
		TLSClientConfig: rest.TLSClientConfig{
			CAData: c.ca, CertData: c.admin.certificate, KeyData: c.admin.key,
		},
		QPS: -1,
	}
}

// AdminKubeconfig is the path of a kubeconfig file that may do everything.
func (c *Cluster) AdminKubeconfig() string { return c.kubeconfigPath("admin") }

// KubeconfigFor writes a kubeconfig file that acts as user, a member of groups. What that user may
// do is up to RBAC.
func (c *Cluster) KubeconfigFor(user string, groups []string, path string) error {
	pair, err := c.authority.client(user, groups...)
	if err != nil {
		return err
	}
	return c.writeKubeconfig(path, &clientcmdapi.AuthInfo{
		ClientCertificateData: pair.certificate, ClientKeyData: pair.key,
	})
}

// ServiceAccountKubeconfig writes a kubeconfig file that acts as a service account, with a token
// from the API server as a pod would have: the account has to exist, and RBAC holds.
func (c *Cluster) ServiceAccountKubeconfig(ctx context.Context, namespace, name, path string) error {
	client, err := kubernetes.NewForConfig(c.AdminConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: new(int64(tokenLife / time.Second)),
	}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for a token of service account %q in namespace %q: %w", name, namespace, err)
	}
	return c.writeKubeconfig(path, &clientcmdapi.AuthInfo{Token: token.Status.Token})
}

// writeKubeconfig writes a file that stands alone: it can be copied away from the state folder.
func (c *Cluster) writeKubeconfig(path string, user *clientcmdapi.AuthInfo) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["sandbox"] = &clientcmdapi.Cluster{Server: c.server, CertificateAuthorityData: c.ca}
	config.AuthInfos["sandbox"] = user
	config.Contexts["sandbox"] = &clientcmdapi.Context{Cluster: "sandbox", AuthInfo: "sandbox"}
	config.CurrentContext = "sandbox"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("writing the kubeconfig %q: %w", path, err)
	}
	return nil
}
