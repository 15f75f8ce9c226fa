@needs.policies
Feature: Judging bucket policies

  A key that owns everything may do what no policy denies; everybody else only what a policy allows.

  @needs.anonymous
  Rule: Without a policy nobody is let in without a key

    Scenario Outline: Anonymous callers may not <what>
      Given a bucket
      And "greeting" holds "hello"
      And I am anonymous
      When I <act>
      Then it is refused with AccessDenied
      And "greeting" holds "hello"

      Examples:
        | what          | act                           |
        | read          | read "greeting"               |
        | look          | look at "greeting"            |
        | put           | put "greeting" holding "mine" |
        | delete        | delete "greeting"             |
        | list          | list the objects              |
        | begin uploads | begin an upload of "greeting" |
        | read tags     | read the tags of "greeting"   |

    Scenario: Anonymous callers do not see which buckets there are
      Given a bucket
      And I am anonymous
      When I list my buckets
      Then it is refused with AccessDenied

    Scenario: Anonymous callers cannot make buckets
      Given there is no bucket
      And I am anonymous
      When I create the bucket
      Then it is refused with AccessDenied
      And the bucket does not exist

  @needs.anonymous
  Rule: What a policy allows to everybody is allowed without a key

    Scenario: Reading
      Given a bucket
      And "greeting" holds "hello"
      And a policy lets everybody do "s3:GetObject" on "the bucket/*"
      And I am anonymous
      When I read "greeting"
      Then I get "hello"

    Scenario: Reading is not writing
      Given a bucket
      And "greeting" holds "hello"
      And a policy lets everybody do "s3:GetObject" on "the bucket/*"
      And I am anonymous
      When I put "greeting" holding "mine"
      Then it is refused with AccessDenied
      And "greeting" holds "hello"

    Scenario: A prefix is a border
      Given a bucket
      And "public/greeting" holds "hello"
      And "private/secret" holds "hush"
      And a policy lets everybody do "s3:GetObject" on "the bucket/public/*"
      And I am anonymous
      When I read "private/secret"
      Then it is refused with AccessDenied

    Scenario: A missing object is not told apart from a forbidden one to who may not list
      Given a bucket
      And a policy lets everybody do "s3:GetObject" on "the bucket/*"
      And I am anonymous
      When I read "nothing-here"
      Then it is refused with AccessDenied

    Scenario: A missing object is told to who may list
      Given a bucket
      And a policy lets everybody do "s3:*" on "the bucket, the bucket/*"
      And I am anonymous
      When I read "nothing-here"
      Then it is refused with NoSuchKey

    Scenario: Writing
      Given a bucket
      And a policy lets everybody do "s3:PutObject" on "the bucket/inbox/*"
      And I am anonymous
      When I put "inbox/letter" holding "dear all"
      Then it succeeds
      And "inbox/letter" holds "dear all"

    Scenario: Listing under one prefix
      Given a bucket
      And "public/a" holds "1"
      And "private/b" holds "2"
      And a policy lets everybody do "s3:ListBucket" on "the bucket" where
        """
        {"StringLike": {"s3:prefix": "public/*"}}
        """
      And I am anonymous
      When I list the objects with
        | prefix | public/ |
      Then the keys are "public/a"
      When I list the objects with
        | prefix | private/ |
      Then it is refused with AccessDenied

    Scenario: Small pages only
      Given a bucket
      And "a" holds "1"
      And a policy lets everybody do "s3:ListBucket" on "the bucket" where
        """
        {"NumericLessThanEquals": {"s3:max-keys": "10"}}
        """
      And I am anonymous
      When I list the objects with
        | max keys | 10 |
      Then the keys are "a"
      When I list the objects with
        | max keys | 11 |
      Then it is refused with AccessDenied

    Scenario: With a delimiter only
      Given a bucket
      And "a/b" holds "1"
      And a policy lets everybody do "s3:ListBucket" on "the bucket" where
        """
        {"StringEquals": {"s3:delimiter": "/"}}
        """
      And I am anonymous
      When I list the objects with
        | delimiter | / |
      Then the common prefixes are "a/"
      When I list the objects
      Then it is refused with AccessDenied

    Scenario: From an address that the policy names
      Given a bucket
      And "greeting" holds "hello"
      And a policy lets everybody do "s3:GetObject" on "the bucket/*" where
        """
        {"IpAddress": {"aws:SourceIp": ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128"]}}
        """
      And I am anonymous
      When I read "greeting"
      Then I get "hello"

    Scenario: From no other address
      Given a bucket
      And "greeting" holds "hello"
      And a policy lets everybody do "s3:GetObject" on "the bucket/*" where
        """
        {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}
        """
      And I am anonymous
      When I read "greeting"
      Then it is refused with AccessDenied

    @needs.plain-connection
    Scenario: Over no connection but an encrypted one
      Given a bucket
      And "greeting" holds "hello"
      And a policy lets everybody do "s3:GetObject" on "the bucket/*" where
        """
        {"Bool": {"aws:SecureTransport": "true"}}
        """
      And I am anonymous
      When I read "greeting"
      Then it is refused with AccessDenied

    @needs.encrypted-connection
    Scenario: Over an encrypted connection
      Given a bucket
      And "greeting" holds "hello"
      And a policy lets everybody do "s3:GetObject" on "the bucket/*" where
        """
        {"Bool": {"aws:SecureTransport": "true"}}
        """
      And I am anonymous
      When I read "greeting"
      Then I get "hello"

    @needs.object-tagging
    Scenario: Objects with a tag only
      Given a bucket
      And "shown" holds "hello" with
        | tag audience | public |
      And "hidden" holds "hush"
      And a policy lets everybody do "s3:GetObject" on "the bucket/*" where
        """
        {"StringEquals": {"s3:ExistingObjectTag/audience": "public"}}
        """
      And I am anonymous
      When I read "shown"
      Then I get "hello"
      When I read "hidden"
      Then it is refused with AccessDenied

  @needs.second-identity
  Rule: A key of its own gives only what a policy gives it

    Scenario: The stranger may nothing without a policy
      Given a bucket
      And "greeting" holds "hello"
      And I am the stranger
      When I read "greeting"
      Then it is refused with AccessDenied

    Scenario: The stranger may what a policy lets the stranger do
      Given a bucket
      And "greeting" holds "hello"
      And a policy lets the stranger do "s3:GetObject" on "the bucket/*"
      And I am the stranger
      When I read "greeting"
      Then I get "hello"

    @needs.anonymous
    Scenario: What the stranger may others may not
      Given a bucket
      And "greeting" holds "hello"
      And a policy lets the stranger do "s3:GetObject" on "the bucket/*"
      And I am anonymous
      When I read "greeting"
      Then it is refused with AccessDenied

    Scenario: A copy needs the right to read its source
      Given a bucket
      And "secret" holds "hush"
      And a policy lets the stranger do "s3:PutObject" on "the bucket/*"
      And I am the stranger
      When I copy "secret" to "mine"
      Then it is refused with AccessDenied
      And "mine" does not exist

    Scenario: Of many objects those go that the stranger may delete
      Given a bucket
      And "mine/a" holds "1"
      And "yours/b" holds "2"
      And a policy lets the stranger do "s3:DeleteObject" on "the bucket/mine/*"
      And I am the stranger
      When I delete these objects
        | mine/a  |
        | yours/b |
      Then these are deleted
        | mine/a |
      And "yours/b" is not deleted because of AccessDenied
      And "yours/b" holds "2"

    Scenario: Tags at putting need the right to tag
      Given a bucket
      And a policy lets the stranger do "s3:PutObject" on "the bucket/*"
      And I am the stranger
      When I put "tagged" holding "x" with
        | tag team | red |
      Then it is refused with AccessDenied
      And "tagged" does not exist

    Scenario: The stranger cannot give itself rights
      Given a bucket
      And a policy lets the stranger do "s3:GetObject" on "the bucket/*"
      And I am the stranger
      When I give the bucket the policy
        """
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::$bucket/*"}]}
        """
      Then it is refused with AccessDenied

  Rule: What is denied is denied to the owner too

    Scenario: A denial wins over everything
      Given a bucket
      And "frozen" holds "ice"
      And a policy forbids everybody to do "s3:DeleteObject" on "the bucket/frozen"
      When I delete "frozen"
      Then it is refused with AccessDenied
      And "frozen" holds "ice"

    Scenario: What is not denied stays the owner's
      Given a bucket
      And "free" holds "air"
      And a policy forbids everybody to do "s3:DeleteObject" on "the bucket/frozen"
      When I delete "free"
      Then it succeeds

    Scenario: The owner can take off a policy that shuts everybody out
      Given a bucket
      And a policy forbids everybody to do "s3:*" on "the bucket, the bucket/*"
      When I remove the bucket's policy
      Then it succeeds
      And the bucket exists

    Scenario Outline: A wildcard in an action reaches <reach>
      Given a bucket
      And "greeting" holds "hello"
      And a policy forbids everybody to do "<action>" on "the bucket/*"
      When I <act>
      Then it is refused with AccessDenied

      Examples:
        | reach                        | action        | act                         |
        | everything                   | s3:*          | read "greeting"             |
        | what begins so               | s3:Get*       | read "greeting"             |
        | one character                | s3:GetObjec?  | read "greeting"             |
        | tags as well                 | s3:Get*       | read the tags of "greeting" |
        | whatever the letters' case   | S3:GETOBJECT  | read "greeting"             |
