@needs.unknown-requests
Feature: Saying what is not offered

  What is not built is refused by name.  Nothing pretends: a client must not believe that it got what it did not get.

  Rule: An operation that does not exist is refused as such

    Scenario Outline: <operation>
      Given a bucket
      And "thing" holds "x"
      When I ask for <operation>
      Then it is refused with NotImplemented
      And "thing" holds "x"

      Examples: of a bucket
        | operation                       |
        | GetBucketAcl                    |
        | GetBucketCors                   |
        | GetBucketEncryption             |
        | GetBucketLifecycleConfiguration |
        | GetBucketLogging                |
        | GetBucketNotificationConfiguration |
        | GetBucketReplication            |
        | GetBucketWebsite                |
        | GetObjectLockConfiguration      |
        | GetPublicAccessBlock            |
        | ListObjectVersions              |

      Examples: of an object
        | operation          |
        | GetObjectAcl       |
        | GetObjectLegalHold |
        | GetObjectRetention |
        | GetObjectTorrent   |

  Rule: A wish that cannot be granted is refused, and nothing is done

    Scenario Outline: Putting with <field>
      Given a bucket
      When I put "thing" holding "x" with
        | <field> | <value> |
      Then it is refused with NotImplemented
      And "thing" does not exist

      Examples:
        | field                  | value       |
        | server side encryption | AES256      |
        | object lock mode       | GOVERNANCE  |
        | acl                    | public-read |
