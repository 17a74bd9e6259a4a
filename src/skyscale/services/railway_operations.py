"""The GraphQL documents that are sent to Railway, each checked in the tests against its schema. Constants only.

A service is made in steps: without a source first, so that nothing is deployed before variables, command and limits are
what they should be (whether `serviceCreate` with a source deploys at once is not documented).
"""

PROJECT_OF_TOKEN = "query { projectToken { projectId environmentId } }"

LIST = """
query($environment: String!, $project: String!, $after: String) {
  environment(id: $environment, projectId: $project) {
    serviceInstances(first: 100, after: $after) {
      edges { node {
        serviceId serviceName createdAt
        source { image }
        domains { serviceDomains { domain } }
        latestDeployment { id status deploymentStopped createdAt instances { status } }
      } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

CREATE = "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id name } }"

VARIABLES = "mutation($input: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $input) }"

CONFIGURE = """
mutation($service: String!, $environment: String, $input: ServiceInstanceUpdateInput!) {
  serviceInstanceUpdate(serviceId: $service, environmentId: $environment, input: $input)
}"""

LIMIT = "mutation($input: ServiceInstanceLimitsUpdateInput!) { serviceInstanceLimitsUpdate(input: $input) }"

DEPLOY = """
mutation($service: String!, $environment: String!) {
  serviceInstanceDeployV2(serviceId: $service, environmentId: $environment)
}"""

DOMAIN = "mutation($input: ServiceDomainCreateInput!) { serviceDomainCreate(input: $input) { id domain } }"

LOGS = """
query($deployment: String!, $limit: Int) {
  deploymentLogs(deploymentId: $deployment, limit: $limit) { timestamp message severity }
}"""

STOP = "mutation($deployment: String!) { deploymentStop(id: $deployment) }"

DELETE = (
    "mutation($service: String!, $environment: String) { serviceDelete(id: $service, environmentId: $environment) }"
)

ALL = (PROJECT_OF_TOKEN, LIST, CREATE, VARIABLES, CONFIGURE, LIMIT, DEPLOY, DOMAIN, LOGS, STOP, DELETE)
